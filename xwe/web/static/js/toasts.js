// Short messages at the edge of the page, each with what can still be done about it.

const TOAST_MS = 10_000;

const place = document.getElementById("toasts");
const template = document.getElementById("toast-template");

/**
 * Say something beside what is said already, with a button for `act` or a link to `href`. It goes
 * by itself, but not while nobody looks or somebody is about to press it; one that `stays` does not.
 *
 * @param {string} text
 * @param {{label: string, act?: () => void, href?: string, stays?: boolean, onClose?: () => void}}
 *   options `onClose` is called when the reader closes it
 * @returns {() => void} takes it away
 */
export function toast(text, { label, act, href, stays = false, onClose = () => {} }) {
  const node = template.content.firstElementChild.cloneNode(true);
  node.querySelector(".toast-text").textContent = text;
  const doing = document.createElement(href ? "a" : "button");
  doing.className = "button quiet toast-act";
  doing.textContent = label;
  if (href) doing.href = href;
  else doing.type = "button";
  node.querySelector(".toast-text").after(doing);

  let timer = 0;
  const away = () => {
    clearTimeout(timer);
    node.remove();
  };
  const wait = () => (timer = setTimeout(end, TOAST_MS));
  const end = () => (document.hidden || node.matches(":hover, :focus-within") ? wait() : away());
  if (!stays) wait();
  doing.addEventListener("click", () => {
    away();
    act?.();
  });
  node.querySelector("[data-do=close]").addEventListener("click", () => {
    away();
    onClose();
  });
  place.append(node);
  return away;
}
