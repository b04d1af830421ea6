// Markdown as DOM nodes. A model's text never becomes HTML: every word of it is put in as text, a
// link may lead to the web and to mail only, and a picture is a link, which nobody follows unasked.

import { Blocks } from "./markdown_syntax.js";

const SCHEMES = new Set(["http:", "https:", "mailto:"]);
const FLOWS = new Set(["UL", "OL", "LI", "P", "BLOCKQUOTE"]);
const HIGHEST_HEADING = 4;

/** Shows a growing text; only the blocks that have changed are drawn again. */
export class MarkdownView {
  #root;
  #codeTemplate;
  #blocks = new Blocks();
  #shown = [];
  #end = null;

  constructor(root, codeTemplate) {
    this.#root = root;
    this.#codeTemplate = codeTemplate;
  }

  show(text) {
    const tokens = this.#blocks.read(text).filter((token) => token.type !== "space");
    tokens.forEach((token, index) => {
      const shown = this.#shown[index];
      if (shown?.token === token || (shown?.token.type === token.type && shown.token.raw === token.raw)) return;
      // A code block stays the same element, so that a scroll position in it survives.
      const node = this.#draw(token, shown?.token.type === "code" ? shown.node : null);
      if (!shown) this.#root.append(node);
      else if (shown.node !== node) shown.node.replaceWith(node);
      this.#shown[index] = { token, node };
    });
    for (const gone of this.#shown.splice(tokens.length)) gone.node.remove();
    this.#markEnd();
  }

  /** Where the next word will be, in the innermost block. */
  #markEnd() {
    let end = this.#root.lastElementChild;
    while (end && FLOWS.has(end.tagName) && FLOWS.has(end.lastElementChild?.tagName)) end = end.lastElementChild;
    if (end === this.#end) return;
    this.#end?.classList.remove("prose-end");
    end?.classList.add("prose-end");
    this.#end = end;
  }

  #draw(token, drawn = null) {
    switch (token.type) {
      case "code":
        return this.#drawCode(token, drawn);
      case "heading":
        return element(`h${Math.min(token.depth + 1, HIGHEST_HEADING)}`, inline(token.tokens));
      case "hr":
        return element("hr");
      case "list":
        return this.#drawList(token);
      case "blockquote":
        return element("blockquote", this.#drawAll(token.tokens));
      case "table":
        return drawTable(token);
      default:
        return element("p", inline(token.tokens ?? [token]));
    }
  }

  #drawAll(tokens) {
    return tokens.filter((token) => token.type !== "space").map((token) => this.#draw(token));
  }

  #drawList(token) {
    const node = element(token.ordered ? "ol" : "ul", token.items.map((item) => this.#drawItem(item)));
    if (token.ordered && token.start !== "") node.start = token.start;
    return node;
  }

  /** What stands in a line of an item is no paragraph, unless the item has several. */
  #drawItem(item) {
    const parts = item.tokens.flatMap((token) => {
      if (token.type === "space") return [];
      if (token.type === "text") return inline(token.tokens ?? [token]);
      return token.type === "checkbox" ? inline([token]) : [this.#draw(token)];
    });
    return element("li", parts);
  }

  #drawCode(token, drawn) {
    const node = drawn ?? this.#codeTemplate.content.firstElementChild.cloneNode(true);
    const [language] = (token.lang ?? "").split(/\s/);
    if (language) node.querySelector(".code-language").textContent = language;
    node.querySelector("code").textContent = token.text;
    return node;
  }
}

function drawTable(token) {
  const row = (name, cells) =>
    element("tr", cells.map((cell) => {
      const node = element(name, inline(cell.tokens));
      if (cell.align) node.dataset.align = cell.align;
      return node;
    }));
  const table = element("table", [
    element("thead", [row("th", token.header)]),
    element("tbody", token.rows.map((cells) => row("td", cells))),
  ]);
  const place = element("div", [table]);
  place.className = "wide-table";
  place.tabIndex = 0; // what scrolls is reached by keyboard
  return place;
}

function inline(tokens) {
  return tokens.map(span);
}

function span(token) {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return element(token.type, inline(token.tokens));
    case "codespan":
      return element("code", [token.text]);
    case "br":
      return element("br");
    case "checkbox":
      return token.checked ? "☑ " : "☐ ";
    case "link":
      return link(token, inline(token.tokens));
    case "image":
      return link(token, [token.text || token.href]);
    case "escape":
      return token.text;
    default:
      return token.tokens ? element("span", inline(token.tokens)) : (token.text ?? token.raw);
  }
}

function link(token, words) {
  if (!leadsSomewhere(token.href)) return token.raw;
  const node = element("a", words);
  for (const within of node.querySelectorAll("a")) within.replaceWith(...within.childNodes);
  node.href = token.href;
  node.rel = "noopener noreferrer nofollow";
  node.target = "_blank";
  return node;
}

function leadsSomewhere(address) {
  return URL.canParse(address) && SCHEMES.has(new URL(address).protocol);
}

function element(name, content = []) {
  const node = document.createElement(name);
  node.append(...content);
  return node;
}
