"""Chats with one character: turns that are stored, streamed, rejoined, stopped and repeated."""
