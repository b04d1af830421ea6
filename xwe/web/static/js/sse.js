// Server-sent events from a body that `fetch` reads: an EventSource can neither POST nor send a
// token.

/**
 * The events of a stream, as they come: `{id, data}`, and null for a comment, which says that the
 * server is still there.
 *
 * @param {ReadableStream<Uint8Array>} body
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return; // an event without its empty line at the end is half an event
      rest += decoder.decode(value, { stream: true });
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) yield parse(block);
    }
  } finally {
    reader.cancel().catch(() => {}); // it has ended, or nobody wants the rest
  }
}

function parse(block) {
  const fields = { data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
    if (name === "data") fields.data.push(value);
    else if (name) fields[name] = value;
  }
  return fields.data.length ? { id: fields.id, data: fields.data.join("\n") } : null;
}
