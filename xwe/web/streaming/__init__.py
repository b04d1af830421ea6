"""How an answer reaches its readers: over server-sent events, as plain text, over a WebSocket."""
