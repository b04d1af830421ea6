// Round numbers for an axis.

/** The distance of ticks so that about `count` of them reach from 0 to `highest`. */
export function tickStep(highest, count) {
  const rough = highest / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough * 0.999);
}

/** The ticks from 0 that do not exceed `highest`, and how many digits show them. */
export function ticks(highest, count) {
  const step = tickStep(highest, count);
  const values = Array.from({ length: Math.floor(highest / step + 1e-9) + 1 }, (_, n) => n * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { values, step, digits: Number.isInteger(step * 10 ** digits) ? digits : digits + 1 };
}
