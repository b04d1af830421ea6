// What stands in a category: fields with a text or a list of texts.

/** A field's value as text, a line for each entry of a list. */
export function textOf(value) {
  return [value ?? ""].flat().map((text) => String(text).trim()).filter(Boolean).join("\n");
}

/** Whether two values say the same in all of these fields; one that is not there says nothing. */
export function isSame(fields, one, other) {
  return fields.every((field) => textOf(one?.[field]) === textOf(other?.[field]));
}
