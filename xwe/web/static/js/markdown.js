// A small subset of Markdown as DOM nodes. A model's text never becomes HTML: every word of it is
// put in as text, and a link may lead to http(s) only. What is not of the subset shows as written.

const FENCE = /^ {0,3}(```+|~~~+)\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.+?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])( *\1){2,}\s*$/;
const BULLET = /^\s{0,6}[-*+•]\s+(.*)$/;
const NUMBER = /^\s{0,6}(\d{1,9})[.)、]\s*(.*)$/;
const QUOTE = /^ {0,3}>\s?(.*)$/;

const INLINE = /(`+)(.+?)\1(?!`)|\*\*(?=\S)(.+?)(?<=\S)\*\*|\*(?=[^\s*])([^*\n]*?[^\s*])\*|(?<!!)\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)/g;

/** Shows a growing text; only the blocks that have changed are drawn again. */
export class MarkdownView {
  #root;
  #codeTemplate;
  #shown = [];

  constructor(root, codeTemplate) {
    this.#root = root;
    this.#codeTemplate = codeTemplate;
  }

  show(text) {
    const blocks = split(text);
    blocks.forEach((block, index) => {
      const shown = this.#shown[index];
      if (shown?.kind === block.kind && shown.source === block.source) return;
      // A code block stays the same element, so that a scroll position in it survives.
      const node = this.#draw(block, shown?.kind === "code" ? shown.node : null);
      if (!shown) this.#root.append(node);
      else if (shown.node !== node) shown.node.replaceWith(node);
      this.#shown[index] = { kind: block.kind, source: block.source, node };
    });
    for (const gone of this.#shown.splice(blocks.length)) gone.node.remove();
  }

  #draw(block, drawn) {
    switch (block.kind) {
      case "code":
        return this.#drawCode(block, drawn);
      case "heading":
        return element(`h${Math.min(block.level + 1, 4)}`, block.lines[0]);
      case "rule":
        return document.createElement("hr");
      case "bullets":
        return list(document.createElement("ul"), block.lines);
      case "numbers": {
        const numbers = document.createElement("ol");
        numbers.start = block.start;
        return list(numbers, block.lines);
      }
      case "quote":
        return element("blockquote", block.lines.join("\n"));
      default:
        return element("p", block.lines.join("\n"));
    }
  }

  #drawCode(block, drawn) {
    const node = drawn ?? this.#codeTemplate.content.firstElementChild.cloneNode(true);
    if (block.language) node.querySelector(".code-language").textContent = block.language;
    node.querySelector("code").textContent = block.lines.join("\n");
    return node;
  }
}

/** The text as blocks: `{kind, lines, source}` and what belongs to the kind. */
function split(text) {
  const blocks = [];
  let open = null;
  const begin = (kind, more = {}) => blocks.push((open = { kind, lines: [], ...more }));
  const proceed = (kind, line, more) => {
    if (open?.kind !== kind) begin(kind, more);
    open.lines.push(line);
  };

  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    const fence = FENCE.exec(line);
    if (open?.kind === "code") {
      if (fence && !fence[2] && fence[1].startsWith(open.fence)) open = null;
      else open.lines.push(line);
      continue;
    }
    let match;
    if (fence) begin("code", { fence: fence[1], language: fence[2] });
    else if (!line.trim()) open = null;
    else if ((match = HEADING.exec(line))) {
      begin("heading", { level: match[1].length });
      open.lines.push(match[2]);
      open = null;
    } else if (RULE.test(line)) {
      begin("rule");
      open = null;
    } else if ((match = BULLET.exec(line))) joined(blocks, "bullets", proceed, match[1]);
    else if ((match = NUMBER.exec(line))) joined(blocks, "numbers", proceed, match[2], { start: Number(match[1]) });
    else if ((match = QUOTE.exec(line))) proceed("quote", match[1]);
    else if (open?.kind === "bullets" || open?.kind === "numbers") {
      open.lines[open.lines.length - 1] += `\n${line.trim()}`;
    } else proceed("paragraph", line);
  }
  for (const block of blocks) block.source = [block.language, ...block.lines].join("\n");
  return blocks;

  // An empty line between two items does not end their list.
  function joined(all, kind, go, line, more) {
    if (!open && all.at(-1)?.kind === kind) open = all.at(-1);
    go(kind, line, more);
  }
}

function list(node, items) {
  node.append(...items.map((item) => element("li", item)));
  return node;
}

function element(name, source) {
  const node = document.createElement(name);
  node.append(...inline(source));
  return node;
}

function inline(source) {
  const nodes = [];
  let from = 0;
  for (const match of source.matchAll(INLINE)) {
    nodes.push(source.slice(from, match.index), span(match));
    from = match.index + match[0].length;
  }
  nodes.push(source.slice(from));
  return nodes.filter((node) => node !== "");
}

function span([, , code, strong, emphasis, label, address]) {
  if (code !== undefined) {
    const node = document.createElement("code");
    node.textContent = code;
    return node;
  }
  if (strong !== undefined) return element("strong", strong);
  if (emphasis !== undefined) return element("em", emphasis);
  const link = element("a", label);
  link.href = address;
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  return link;
}
