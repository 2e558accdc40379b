/** The first and the last interval of the kept history in which an event was counted. */

import { spelled } from "./range.js";

/** Most intervals of one request. */
const MOST = 300;

/**
 * Returns {first, last}: spans {start, end}, or null if the history has no count of the event.
 *
 * A long history is read in steps first, and then the two steps interval by interval.
 */
export async function seenIn(api, scope, event, signal) {
  const query = { event, limit: 1, current: false };
  const isLong = scope.kept > MOST;
  const step = Math.ceil(scope.kept / MOST) * scope.length_s;
  const whole = isLong ? { since: 0, step: spelled(step) } : { history: scope.kept };
  const { history } = await api.figures(scope, { ...query, ...whole }, signal);
  const counted = countedSpans(history, event);
  if (!counted.length) return { first: null, last: null };
  if (!isLong) return { first: counted[0], last: counted.at(-1) };
  const within = async ({ start, end }) => {
    const found = await api.figures(scope, { ...query, since: start, until: end }, signal);
    return countedSpans(found.history, event);
  };
  const [first, last] = await Promise.all([within(counted[0]), within(counted.at(-1))]);
  return { first: first[0] ?? counted[0], last: last.at(-1) ?? counted.at(-1) };
}

function countedSpans({ spans, counts }, event) {
  const of = Object.hasOwn(counts, event) ? counts[event] : [];
  return spans.filter((_, n) => of[n]);
}
