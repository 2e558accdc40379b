/** Does something again and again for as long as somebody looks at the page. */

import { ApiError } from "./api.js";

const FIRST_BACK_OFF_MS = 500;
const LONGEST_BACK_OFF_MS = 8_000;

/**
 * Calls `step` until `signal` is aborted, and not while the page is hidden.
 *
 * @param step resolves to the milliseconds until the next call. After a failure these double each time.
 * @param failed is told of each ApiError.
 */
export async function repeat(step, failed, signal) {
  let failures = 0;
  while (!signal.aborted) {
    await untilVisible();
    if (signal.aborted) return;
    let wait_ms;
    try {
      wait_ms = await step();
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) console.error(error);
      failed(error);
      wait_ms = backOff(failures++);
    }
    await pause(wait_ms, signal);
  }
}

/** Up to twice as long each time, and never the same for all pages that lost the same server. */
function backOff(failures) {
  return Math.min(LONGEST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** failures) * (0.75 + Math.random() / 4);
}

function untilVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

function pause(wait_ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, wait_ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
