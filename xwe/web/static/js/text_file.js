// A text file as somebody's editor has saved it. Most are in UTF-8; older Chinese ones are in GBK,
// and some Windows programs write UTF-16.

const UTF_16_MARKS = { "255,254": "utf-16le", "254,255": "utf-16be" };

/** The text of these bytes; null where they are no text in an encoding that can be told. */
export function decodeText(bytes) {
  const marked = UTF_16_MARKS[bytes.subarray(0, 2).join()];
  for (const encoding of marked ? [marked] : ["utf-8", "gb18030"]) {
    try {
      const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
      // No text has these; files of other kinds do.
      return text.includes("\0") ? null : text;
    } catch {
      // Not in this one.
    }
  }
  return null;
}
