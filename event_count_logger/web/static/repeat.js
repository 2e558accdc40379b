/** A loop that runs while the page is visible, with back-off after errors. */

import { ApiError } from "./api.js";

const FIRST_BACK_OFF_MS = 500;
const LONGEST_BACK_OFF_MS = 8_000;

/**
 * Calls `step` until `signal` is aborted; pauses while the page is hidden.
 *
 * @param step takes a signal that aborts it, and resolves to the milliseconds until the next call. After an error the
 *   wait doubles with each further error.
 * @param failed called with each ApiError.
 */
export async function repeat(step, failed, signal) {
  let n_failures = 0;
  while (!signal.aborted) {
    const seen = await whileSeen(signal);
    try {
      await pause(await step(seen), seen);
      n_failures = 0;
    } catch (error) {
      if (seen.aborted) continue;
      if (error instanceof ApiError) failed(error);
      else console.error(error);
      await pause(backOff(n_failures++), seen);
    }
  }
}

/** Returns the milliseconds to wait after an error. They are random, so that pages do not retry all at once. */
function backOff(n_failures) {
  return Math.min(LONGEST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** n_failures) * (0.75 + Math.random() / 4);
}

let visibility = new AbortController();
document.addEventListener("visibilitychange", () => {
  visibility.abort();
  visibility = new AbortController();
});

/** Waits until the page is visible. Returns a signal that is aborted when the page is hidden, or with `signal`. */
async function whileSeen(signal) {
  while (document.hidden && !signal.aborted) await pause(Infinity, AbortSignal.any([signal, visibility.signal]));
  return AbortSignal.any([signal, visibility.signal]);
}

/** Waits that long, or until `signal` is aborted. */
function pause(wait_ms, signal) {
  return new Promise((resolve) => {
    const timer = wait_ms < Infinity && setTimeout(end, wait_ms);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    if (signal.aborted) end();
    else signal.addEventListener("abort", end);
  });
}
