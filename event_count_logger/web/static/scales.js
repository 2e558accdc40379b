/** Marks of the axes, as pure functions. */

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
/** Seconds between marks of a time axis. */
const TIME_STEPS = [
  1, 2, 5, 10, 15, 30,
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 28, 91, 182, 364].map((n) => n * DAY),
];

/** Returns round values from 0 to at least `max`, in about `n` steps of whole counts. */
export function countTicks(max, n) {
  const rough = Math.max(1, max / n);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find((digit) => digit * power >= rough * 0.999) * power);
  const steps = Math.max(1, Math.ceil(max / step));
  return Array.from({ length: steps + 1 }, (_, index) => index * step);
}

/** Returns at most `n` Unix seconds between `start` and `end` that are round in local time. */
export function timeTicks(start, end, n) {
  const step = TIME_STEPS.find((each) => (end - start) / each <= n) ?? TIME_STEPS.at(-1);
  const offset = new Date(start * 1000).getTimezoneOffset() * MINUTE;
  const first = Math.ceil((start - offset) / step) * step + offset;
  const ticks = [];
  for (let at = first; at <= end; at += step) ticks.push(at);
  return ticks;
}
