/** Axes of counts, as pure functions: {ticks: [{value, label}], y(value)}, where y is 0 at the base and 1 on top. */

import { formatCompact, formatCount, prefixOf, withPrefix } from "./format.js";

/** Ticks from here on share one prefix: `5k`, `10k`. */
const LONG = 10_000;
const THIN = "\u202f";

/** Returns an axis from 0 to at least `max`, with about `n` ticks. */
export function linearAxis(max, n) {
  const values = countTicks(max, n);
  const labels = labelsOf(values);
  const ticks = values.map((value, index) => ({ value, label: labels[index] }));
  return { ticks, y: (value) => value / values.at(-1) };
}

/** Returns an axis of percentages. */
export function percentAxis(max, n) {
  const values = max > 99 ? [0, 25, 50, 75, 100] : countTicks(max, n);
  const ticks = values.map((value) => ({ value, label: `${value}${THIN}%` }));
  return { ticks, y: (value) => value / values.at(-1) };
}

/**
 * Returns a logarithmic axis of values up to `max`; `min` is the smallest value above 0.
 *
 * The base is the power of ten that `min` reaches. With `hasZero` it is 0, one power of ten below.
 */
export function logAxis(min, max, n, hasZero) {
  const low = Math.floor(Math.log10(min) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(max) - 1e-9));
  const every = Math.ceil((high - low + 1) / Math.max(2, n));
  const powers = Array.from({ length: high - low + 1 }, (_, index) => low + index);
  const shown = powers.filter((power) => (power - low) % every === 0);
  const below = hasZero ? 1 : 0;
  const y = (value) => (value <= 0 ? 0 : Math.max(0, (Math.log10(value) - low + below) / (high - low + below)));
  const ticks = shown.map((power) => ({ value: 10 ** power, label: powerLabel(power) }));
  return { ticks: hasZero ? [{ value: 0, label: "0" }, ...ticks] : ticks, y };
}

function powerLabel(power) {
  return power < 0 ? (10 ** power).toFixed(-power) : labelsOf([0, 10 ** power])[1];
}

/** Returns labels in one style: all digits, or the same prefix for all. */
export function labelsOf(values) {
  const highest = values.at(-1);
  if (highest < LONG) return values.map(formatCount);
  const power = prefixOf(highest);
  return values.map((value) => (value === 0 ? "0" : withPrefix(value, power)));
}

/** Returns the label of a value beside an axis that goes up to `highest`, in the style of its ticks. */
export function labelBeside(value, highest) {
  return highest < LONG ? formatCount(value) : formatCompact(value);
}

/** Returns round values from 0 to at least `max`, in about `n` steps of whole counts. */
export function countTicks(max, n) {
  const rough = Math.max(1, max / Math.max(1, n));
  const power = 10 ** Math.floor(Math.log10(rough));
  const digits = power >= 10 ? [1, 2, 2.5, 5, 10] : [1, 2, 5, 10];
  const step = Math.max(1, digits.find((digit) => digit * power >= rough * 0.999) * power);
  const steps = Math.max(1, Math.ceil(max / step - 1e-9));
  return Array.from({ length: steps + 1 }, (_, index) => index * step);
}
