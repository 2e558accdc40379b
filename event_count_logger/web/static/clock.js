/** A clock for ages. It counts the time in which the computer sleeps, as performance.now() of some browsers does not. */

/** Milliseconds by which the clock of the computer must be ahead: less is drift. */
const LEAST_SLEEP_MS = 1000;

let slept_ms = 0;
let ahead_ms = Date.now() - performance.now();

/** Returns milliseconds. Only their differences have a meaning, and a clock that is set back does not change them. */
export function clock() {
  const awake_ms = performance.now();
  const now_ahead_ms = Date.now() - awake_ms;
  if (now_ahead_ms - ahead_ms > LEAST_SLEEP_MS) slept_ms += now_ahead_ms - ahead_ms;
  ahead_ms = now_ahead_ms;
  return awake_ms + slept_ms;
}
