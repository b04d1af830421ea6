// A character's picture, or the first letter of its name on a colour that the name gives.

const HUES = 8; // as many as avatar.css has

export function avatar(node, name, url = null) {
  const letters = [...name];
  node.dataset.hue = letters.reduce((sum, letter) => sum + letter.codePointAt(0), 0) % HUES;
  if (!url) {
    node.textContent = letters[0]?.toUpperCase() ?? "";
    return;
  }
  const picture = document.createElement("img");
  picture.src = url;
  picture.alt = "";
  node.replaceChildren(picture);
}
