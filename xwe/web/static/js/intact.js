// What of a text that is still being written can be shown: whole words, and no half of Markdown. A
// mark is looked for in the last line; one that reaches over several lines is rare.

// A word may have no end in sight: a line of dashes, say. This much of it is waited for.
const LONGEST_WORD = 48;
const LONGEST_LINK = 400;
const LONGEST_LINE = 4_000; // beyond it, looking for marks at every frame costs more than it helps

const WORD = /[\p{L}\p{N}\p{M}_'’]/u;
// Written without spaces: any place between two of them is as good as another.
const UNSPACED = /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmr}\p{scx=Mymr}]/u;
// What belongs to the character before it, or joins the one after.
const JOINED = /[\p{M}\u200d\ufe0f\u{1f3fb}-\u{1f3ff}]/u;

const FENCE = /^ {0,3}(```+|~~~+)\s*([^\s`]*)/;
const WHOLE = new RegExp(
  [
    "(`+)(?!`).+?(?<!`)\\1(?!`)",
    "\\*\\*(?=\\S).+?(?<=\\S)\\*\\*",
    "\\*(?=[^\\s*])[^*]*?(?<=[^\\s*])\\*",
    "~~(?=\\S).+?(?<=\\S)~~",
    "(?<![\\p{L}\\p{N}_])(__?)(?=[^\\s_]).*?(?<=[^\\s_])\\2(?![\\p{L}\\p{N}_])",
    "!?\\[[^\\]]+\\]\\([^\\s)]+\\)",
    "\\\\[*_`~[]",
  ].join("|"),
  "gu",
);
const OPENING = new RegExp(
  [
    "`+",
    "(?<![A-Za-z0-9])\\*\\*(?=\\S)",
    "\\*\\*(?=[^\\sA-Za-z0-9*])",
    "(?<![\\p{L}\\p{N}*])\\*(?=[^\\s*])",
    "~~(?=[^\\s~])",
    "(?<![\\p{L}\\p{N}_])__?(?=[^\\s_])",
  ].join("|"),
  "u",
);
// What only the next character tells the meaning of: a list's sign, a heading's, half of a mark, an
// address.
const UNDECIDED = new RegExp(
  [
    "^\\s*(?:#{1,6}|>|[-*+•_=]{1,3}|\\d{1,9}[.)、]?|[`~]{1,3})\\s*$",
    "[*`~_\\\\]+$",
    "\\[[^\\]]*\\]$",
    `(?:https?:\\/\\/|www\\.)[!-~]{0,${LONGEST_LINK}}$`,
  ].join("|"),
  "u",
);
const OPEN_LINK = /!?\[(?:[^\]]*|[^\]]+\]\([^\s)]*)$/;
// The first line of a table looks like any other until the one below it is there.
const OPEN_TABLE = /(?:^|(?:^|\n)(?!\|)[^\n]*\n)(\|[^\n]*(?:\n\|?[ :|-]*)?)$/;

/** How much of `text` ends with a word, if more of it may come. */
export function wholeWords(text) {
  const end = text.length;
  for (let at = end; at > 0 && at > end - LONGEST_WORD; at -= 1) {
    if (at === end ? endsWhole(text) : isBorder(text, at)) return at;
  }
  return isHalf(text, end) ? end - 1 : end;
}

/** The first place from `at` on where no word is cut; the end, if there is none nearby. */
export function nextBorder(text, at) {
  const most = Math.min(text.length, at + LONGEST_WORD);
  while (at < most && !isBorder(text, at)) at += 1;
  return isHalf(text, at) ? at + 1 : at;
}

/** `text`, which breaks off anywhere, without what is half: marks are closed, or wait. */
export function intact(text) {
  const start = text.lastIndexOf("\n") + 1;
  const [before, line] = [text.slice(0, start), text.slice(start)];
  if (line.length > LONGEST_LINE) return text;
  if (!isInCode(before)) {
    const table = OPEN_TABLE.exec(text);
    if (table && table[1].length < LONGEST_LINK) return text.slice(0, -table[1].length);
    return before + (FENCE.test(line) ? line : closed(withoutHalf(line)));
  }
  return /^ {0,3}[`~]+$/.test(line) ? before.slice(0, -1) : text; // which may be the code's end
}

function endsWhole(text) {
  const last = lastOf(text, text.length);
  return !WORD.test(last) ? !JOINED.test(last) && !isHalf(text, text.length) : UNSPACED.test(last);
}

function isBorder(text, at) {
  if (at === 0 || at >= text.length) return true;
  if (isHalf(text, at)) return false;
  const [left, right] = [lastOf(text, at), String.fromCodePoint(text.codePointAt(at))];
  if (JOINED.test(right) || left === "\u200d") return false;
  if (UNSPACED.test(left) || UNSPACED.test(right)) return true;
  return !(WORD.test(left) && WORD.test(right));
}

/** Whether `at` is between the two halves of a character beyond the 16-bit ones, or after one. */
function isHalf(text, at) {
  return (text.charCodeAt(at - 1) & 0xfc00) === 0xd800;
}

function lastOf(text, at) {
  const isSecond = (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00;
  return text.slice(at - (isSecond ? 2 : 1), at);
}

function isInCode(text) {
  let fence = null;
  for (const line of text.split("\n")) {
    const [, marks, language] = FENCE.exec(line) ?? [];
    if (!marks) continue;
    if (fence === null) fence = marks;
    else if (!language && marks.startsWith(fence)) fence = null;
  }
  return fence !== null;
}

/** A line up to the link, or the sign, that only what follows makes one. */
function withoutHalf(line) {
  const rest = blotted(line);
  const link = OPEN_LINK.exec(rest);
  if (link && link[0].length < LONGEST_LINK) return line.slice(0, link.index);
  const half = UNDECIDED.exec(rest);
  return half ? line.slice(0, half.index) : line;
}

/** The line with the mark closed that is open at its end. */
function closed(line) {
  const rest = blotted(line);
  const opening = OPENING.exec(rest);
  if (!opening) return line;
  const [[mark], from] = [opening, opening.index + opening[0].length];
  let inside = line.slice(from);
  if (!mark.startsWith("`")) {
    const next = OPENING.exec(rest.slice(from)); // one mark within another waits
    if (next) inside = inside.slice(0, next.index);
  }
  inside = inside.trimEnd();
  return inside ? line.slice(0, from) + inside + mark : line.slice(0, opening.index);
}

/** The line with what is marked at both ends blotted out; the places stay. */
function blotted(line) {
  return line.replace(WHOLE, (all) => "\u0000".repeat(all.length));
}
