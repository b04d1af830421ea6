// The rail is a drawer on narrow screens. One that is open when the screen gets wide would stay
// above the page.

const wide = matchMedia("(width >= 900px)");
const rail = document.getElementById("rail");

wide.addEventListener("change", () => {
  if (rail.matches(":popover-open")) rail.hidePopover();
});
