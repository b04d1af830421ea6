// What a turn with tools should take, computed from the speeds that it showed.
//
// F is the time to a request's first token, r the pace, a the moment in which a call's arguments
// are whole, L how long its tool takes, T the tokens after the last call, B those of the bridge, G
// those of the answer. The first turn ends at S, the results are there at D, the bridge ends at E,
// and the model is asked for its answer at R. Nothing else takes any time here: what the measured
// figures have beyond it is ours.

/**
 * The computed figures, in the unit of `speeds`; null where there is nothing to compute.
 *
 * @param {"sync"|"non_preemptive"|"preemptive"} mode
 * @param {"all"|"any"} awaiting
 * @param {{F: number, r: number, T: number, B: number, G: number, hasPreamble: boolean,
 *   calls: {a: number, L: number, isEager: boolean}[]}} speeds `r` is Infinity where nothing can be
 *   said about the pace; an eager call starts at its own `a`, any other one at S
 */
export function compute(mode, awaiting, speeds) {
  const { F, r, T, B, G, calls, hasPreamble } = speeds;
  const S = Math.max(...calls.map((call) => call.a)) + T / r;
  const ends = calls.map((call) => (call.isEager ? call.a : S) + call.L);
  const D = Math.max(S, awaited(ends, awaiting, F));
  const E = S + F + B / r;
  const speaksMeanwhile = mode !== "sync" && D > S;
  const R = mode === "non_preemptive" && speaksMeanwhile ? Math.max(E, D) : D;
  const firstGrounded = R + F;
  let firstText = firstGrounded;
  if (hasPreamble) firstText = F;
  else if (speaksMeanwhile && S + F < R) firstText = S + F;
  return { S, D, R, firstText, firstGrounded, total: firstGrounded + G / r, wastedTokens: 0 };
}

/** When the results that are waited for are there: with "any" the first one waits F for others. */
function awaited(ends, awaiting, F) {
  const last = Math.max(...ends);
  return awaiting === "any" ? Math.min(last, Math.min(...ends) + F) : last;
}
