// What of Markdown the pages understand: CommonMark with GitHub's tables, tasks and strikethrough,
// as marked reads it, and a few readings of our own for texts that come piece by piece, in Chinese
// too, and from a model that knows nothing of our page.

import { Marked, Tokenizer } from "../vendor/marked/marked.esm.js";

// Chinese writing and its punctuation. CommonMark looks for spaces around emphasis, and Chinese has
// none: two words with a colon before the closing stars are bold to everyone who writes them so, but
// not by the rules.
const CJK = "\\u2014\\u2018-\\u201d\\u2026\\u2e80-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff01-\\uffee";
const BESIDE_CJK = new RegExp(`[${CJK}]`);
const STRONG = /^\*\*(?=[^\s*])((?:\*(?!\*)|[^*\n])*?[^\s*])\*\*(?!\*)/;
const EMPHASIS = /^\*(?=[^\s*])([^*\n]*?[^\s*])\*(?!\*)/;
// An address ends where a Chinese sentence goes on, but may hold Chinese words.
const ADDRESS = /^[^\s\u2014\u2018-\u201d\u2026\u3000-\u303f\uff01-\uff65]*/;
const LINE_BREAK = /^<br\s*\/?>/i;

const NOTHING = undefined; // no such token
const AS_USUAL = false; // marked's own reading

const marked = new Marked({
  tokenizer: {
    emStrong(source, masked, before) {
      if (source[0] !== "*") return AS_USUAL;
      const match = STRONG.exec(source) ?? EMPHASIS.exec(source);
      if (!match) return AS_USUAL;
      const [raw, text] = match;
      const edges = [before, text[0], text.at(-1), source[raw.length] ?? ""].join("");
      if (!BESIDE_CJK.test(edges)) return AS_USUAL;
      const type = raw.startsWith("**") ? "strong" : "em";
      return { type, raw, text, tokens: this.lexer.inlineTokens(text) };
    },
    url(source) {
      return Tokenizer.prototype.url.call(this, ADDRESS.exec(source)[0]);
    },
    // A single tilde is the tone of a Chinese sentence, and strikes nothing out.
    del: (source) => (source.startsWith("~~") ? AS_USUAL : NOTHING),
    // Tags are text like any other; tables have no other way to break a line than this one.
    html: () => NOTHING,
    tag(source) {
      const match = LINE_BREAK.exec(source);
      return match ? { type: "br", raw: match[0] } : NOTHING;
    },
    // "[Narrator]: laughs" is said, not the definition of a link.
    def: () => NOTHING,
    // A line of dashes is a rule. As an underline it would make each list's first dash, while it
    // comes, turn the paragraph above into a heading for a moment.
    lheading: () => NOTHING,
  },
});

// The last block may still become another one: after a list and an empty line, a "2" is the next
// item as soon as its dot has come.
const UNSETTLED = 3;

/** The blocks of a growing text; what has settled is not read again. */
export class Blocks {
  #settled = [];
  #source = "";

  /** The tokens of all its blocks; what was settled before is the same object again. */
  read(text) {
    const source = text.replace(/\r\n?/g, "\n");
    if (!source.startsWith(this.#source)) [this.#settled, this.#source] = [[], ""];
    const fresh = lex(source.slice(this.#source.length));
    const tokens = [...this.#settled, ...fresh];
    const settled = fresh.slice(0, -UNSETTLED);
    const until = this.#source + settled.map((token) => token.raw).join("");
    // marked tidies some blanks; a block that is not there word for word is read again.
    if (settled.length && source.startsWith(until)) {
      [this.#settled, this.#source] = [tokens.slice(0, -UNSETTLED), until];
    }
    return tokens;
  }
}

function lex(source) {
  try {
    return marked.lexer(source);
  } catch (error) {
    // Deeper than the stack: a thousand quotes in each other.
    console.warn(error);
    return [{ type: "paragraph", raw: source, tokens: [{ type: "text", raw: source, text: source }] }];
  }
}
