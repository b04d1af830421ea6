// The page's texts, in the reader's language: the server has put them into the page as data.
const { locale, texts } = JSON.parse(document.getElementById("texts").textContent);

const figures = (digits) =>
  new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const SHORT = figures(2);
const LONG = figures(1);

/** The text of that name, its {fields} filled in. */
export function say(name, fields = {}) {
  return texts[name].replace(/\{(\w+)\}/g, (_, field) => fields[field]);
}

/** Title and advice for an error's code; for a code that is new to this page, the general ones. */
export function explain(code) {
  return texts.errors[code] ?? texts.errors[code.startsWith("provider_") ? "provider_error" : "internal"];
}

/** A duration as figures, without its unit. */
export function seconds(milliseconds) {
  return (milliseconds < 1000 ? SHORT : LONG).format(milliseconds / 1000);
}
