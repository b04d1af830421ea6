// The panel is a column on wide screens and a sheet on narrow ones. One that is open when the
// screen gets wide would stay above the page.

const wide = matchMedia("(width >= 1200px)");
const panel = document.getElementById("panel");

wide.addEventListener("change", () => {
  if (panel.matches(":popover-open")) panel.hidePopover();
});
