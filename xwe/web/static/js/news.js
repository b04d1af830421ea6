// What happens to the reader's chats elsewhere: in other tabs, and on other devices.

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

// The server's goodbye to whom it no longer knows.
const SIGNED_OUT = 1008;

const tabs = "BroadcastChannel" in window ? new BroadcastChannel("xwe.chats") : null;

let socket = null;
let pause = FIRST_PAUSE_MS;
let waiting = 0;
let listener = () => {};

/** `onNews(news)` is called with what happened; with null when something may have been missed. */
export function listen(onNews) {
  listener = onNews;
  if (tabs) tabs.onmessage = (message) => onNews(message.data);
  document.addEventListener("visibilitychange", look);
  addEventListener("pageshow", (event) => event.persisted && look());
  addEventListener("pagehide", close);
  addEventListener("online", look);
  connect();
}

/** Tell the other tabs. */
export function tellTabs(news) {
  tabs?.postMessage(news);
}

// A tab that nobody sees holds no connection; it asks when it is looked at again.
function look() {
  if (document.hidden) return close();
  listener(null);
  connect();
}

function connect() {
  clearTimeout(waiting);
  if (socket || document.hidden) return;
  const opened = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`);
  socket = opened;
  opened.onopen = () => {
    pause = FIRST_PAUSE_MS;
    opened.send('{"type":"subscribe"}');
  };
  opened.onmessage = (message) => {
    const said = JSON.parse(message.data);
    if (said.type === "notification") listener(said.notification);
    // What was told between the page's reading and now, or while the line was gone, nobody heard.
    if (said.type === "subscribed") listener(null);
  };
  opened.onclose = ({ code }) => {
    if (socket !== opened) return;
    socket = null;
    if (code === SIGNED_OUT) pause = LONGEST_PAUSE_MS; // until somebody signs in, it says no again
    waiting = setTimeout(connect, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  };
}

function close() {
  clearTimeout(waiting);
  const open = socket;
  socket = null;
  open?.close();
}
