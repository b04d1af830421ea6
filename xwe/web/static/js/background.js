// What ends while the page is in the background is marked in its title, and told by the system
// where the reader has allowed that.

const title = document.title;
const canTell = "Notification" in window && window.isSecureContext;

let told = null;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  document.title = title;
  told?.close();
});

/** Mark the title, if nobody is looking. */
export function markTitle() {
  if (document.hidden) document.title = `● ${title}`;
}

/** Mark the title and tell the reader, if nobody is looking. */
export function tell(heading, body, tag) {
  markTitle();
  if (!document.hidden || !canTell || Notification.permission !== "granted") return;
  try {
    told = new Notification(heading, { body, tag });
  } catch {
    return; // phones have them from a service worker only; the title has to do
  }
  told.onclick = () => window.focus();
}

/** Let `button` ask for the permission, as long as that is undecided. */
export function offerTelling(button) {
  if (!canTell) return;
  const look = () => (button.hidden = Notification.permission !== "default");
  look();
  button.addEventListener("click", async () => {
    await Notification.requestPermission();
    look();
  });
}
