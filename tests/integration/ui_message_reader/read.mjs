// Reads a UI message stream as a front end does, and prints what the `ai` package made of it.
// usage: node read.mjs URL, with the request's body on standard input (none: a GET)
import { readFileSync } from "node:fs";
import { parseJsonEventStream, readUIMessageStream, uiMessageChunkSchema } from "ai";

const body = readFileSync(0, "utf8");
const response = await fetch(process.argv[2], body ? { method: "POST", body } : {});
const kinds = [];
const schemaErrors = [];
const errors = [];
const chunks = parseJsonEventStream({ stream: response.body, schema: uiMessageChunkSchema }).pipeThrough(
  new TransformStream({
    transform(result, controller) {
      if (result.success) {
        kinds.push(result.value.type);
        controller.enqueue(result.value);
      } else {
        schemaErrors.push(String(result.error));
      }
    },
  }),
);
let message = null;
for await (const state of readUIMessageStream({
  stream: chunks,
  onError: (error) => errors.push(error.message),
})) {
  message = structuredClone(state);
}
console.log(JSON.stringify({ status: response.status, kinds, schemaErrors, errors, message }));
