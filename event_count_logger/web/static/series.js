/** Series of the chart, as pure functions. */

import { sumOf } from "./counts.js";

/** Number of events with a colour of their own; more colours would look alike. */
const LARGEST = 6;

/**
 * Returns the events with the largest history, and the sum of all others: {id, label, colour, counts}.
 *
 * They are in alphabetical order, so that an event keeps its place and colour when its counts change.
 */
export function seriesOf(rows, n_spans) {
  const bySize = rows.filter((row) => row.sum > 0).sort((a, b) => b.sum - a.sum);
  const largest = bySize.slice(0, LARGEST).sort((a, b) => a.rank - b.rank);
  const series = largest.map((row, index) => oneOf(row, index));
  const others = bySize.slice(LARGEST);
  if (others.length === 1) series.push({ ...oneOf(others[0], 0), colour: "others" });
  else if (others.length) series.push(sumOfRows(others, n_spans));
  return series;
}

/** Returns one event as a series. */
export function oneOf(row, index) {
  return { id: row.id, label: row.label, colour: String(index), counts: row.history };
}

function sumOfRows(rows, n_spans) {
  const counts = Array.from({ length: n_spans }, (_, index) => sumOf(rows.map((row) => row.history[index])));
  return { id: null, label: `${rows.length} other events`, colour: "others", counts };
}
