// The page's texts, in the reader's language: the server has put them into the page as data.
const { locale, texts } = JSON.parse(document.getElementById("texts").textContent);

const formats = new Map();

/** A number with so many digits behind the point, as the language writes it. */
export function number(value, digits = 0) {
  if (!formats.has(digits)) {
    const bounds = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(digits, new Intl.NumberFormat(locale, bounds));
  }
  return formats.get(digits).format(value);
}

/** The text of that name ("system.live"), its {fields} filled in. */
export function say(name, fields = {}) {
  const text = name.split(".").reduce((table, part) => table[part], texts);
  return text.replace(/\{(\w+)\}/g, (_, field) => fields[field]);
}

/** The sentences of a text in both languages that are in the page's; all of one that has none. */
export function inOurLanguage(text) {
  const isChinese = (sentence) => /[\u4e00-\u9fff]/.test(sentence);
  const sentences = text.split(/(?<=[.\u3002])\s+/);
  const ours = sentences.filter((each) => isChinese(each) === locale.startsWith("zh"));
  return (ours.length ? ours : sentences).join(" ");
}

/** Title and advice for an error's code; for a code that is new to this page, the general ones. */
export function explain(code) {
  const known = texts.errors[code];
  return known ?? texts.errors[code.startsWith("provider_") ? "provider_error" : "internal"];
}

/** A duration in milliseconds as seconds, without their unit. */
export function seconds(milliseconds) {
  return number(milliseconds / 1000, milliseconds < 10_000 ? 2 : 1);
}

/** As many digits as say something: none for whole or large numbers, else one. */
export function short(value) {
  return number(value, Number.isInteger(value) || value >= 9.95 ? 0 : 1);
}

/** A duration in seconds with its unit: milliseconds below one second, minutes beyond two. */
export function duration(value) {
  if (value < 0.9995) return say("milliseconds", { value: short(value * 1000) });
  if (value < 120) return say("seconds", { value: short(value) });
  if (value < 7200) return say("minutes", { value: number(value / 60) });
  return say("hours", { value: number(value / 3600) });
}

/** A time of day. */
export function clock(secondsSinceEpoch) {
  return new Date(secondsSinceEpoch * 1000).toLocaleTimeString(locale);
}

/** When something was: the time for today, the date for an earlier day. */
export function when(timestamp) {
  const [at, today] = [new Date(timestamp), new Date()];
  if (at.toDateString() === today.toDateString()) {
    return at.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });
  }
  const year = at.getFullYear() === today.getFullYear() ? undefined : "numeric";
  return at.toLocaleDateString(locale, { year, month: "short", day: "numeric" });
}
