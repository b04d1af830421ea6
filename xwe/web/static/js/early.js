// What is pressed before a page's scripts have come, over a slow line, is done once they have.
(() => {
  const pressed = new Map(); // what was pressed -> how to do it; pressed twice is meant once

  function keep(event, target, act) {
    event.preventDefault();
    event.stopImmediatePropagation();
    pressed.set(target, act);
  }

  function onSubmit(event) {
    const { target: form, submitter } = event;
    keep(event, form, () => form.requestSubmit(submitter));
  }

  function onClick(event) {
    // Links, submits and what the browser opens by itself need no script.
    const button = event.target.closest("button[type=button]:not([popovertarget])");
    if (button) keep(event, button, () => button.click());
  }

  document.addEventListener("submit", onSubmit, true);
  document.addEventListener("click", onClick, true);
  document.addEventListener("DOMContentLoaded", () => {
    document.removeEventListener("submit", onSubmit, true);
    document.removeEventListener("click", onClick, true);
    for (const act of pressed.values()) act();
  });

  // Scripts send every form, to where its answer can be shown. Where one has not come, the browser
  // would put what was typed, a password perhaps, into the address.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "dialog") event.preventDefault();
  });
})();
