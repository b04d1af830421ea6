// The plain text page: a question, and the pieces of its answer.

import { readPlainText } from "./plain_stream.js";
import { asAnswerError } from "./server.js";
import { number, say, seconds } from "./texts.js";
import { trouble } from "./trouble.js";

const byId = (id) => document.getElementById(id);
const form = byId("ask");
const shown = byId("plain");
const figures = byId("figures");

let reading = null;

async function read() {
  reading?.abort();
  const controller = (reading = new AbortController());
  const asked = performance.now();
  let [pieces, bytes, first] = [0, 0, null];
  shown.textContent = "";
  byId("trouble").replaceChildren();
  setBusy(true);
  figures.textContent = say("stream.reading");
  try {
    for await (const piece of readPlainText(form.elements.prompt.value, controller.signal)) {
      if (reading !== controller) return;
      first ??= performance.now() - asked;
      pieces += 1;
      bytes += piece.bytes;
      shown.append(piece.text);
    }
    figures.textContent = say("stream.done", {
      characters: characters(),
      bytes: number(bytes),
      pieces: number(pieces),
      first: seconds(first ?? 0),
      total: seconds(performance.now() - asked),
    });
  } catch (error) {
    if (reading !== controller) return;
    figures.textContent = "";
    if (controller.signal.aborted) {
      figures.textContent = say("stream.stopped", { characters: characters() });
    } else {
      byId("trouble").append(trouble(asAnswerError(error), read));
    }
  } finally {
    if (reading === controller) {
      reading = null;
      setBusy(false);
    }
  }
}

const characters = () => number([...shown.textContent].length);

function setBusy(busy) {
  const hadFocus = document.activeElement === byId("stop");
  shown.setAttribute("aria-busy", String(busy));
  byId("read").hidden = busy;
  byId("stop").hidden = !busy;
  if (hadFocus) byId("read").focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  read();
});
byId("stop").addEventListener("click", () => reading?.abort());
