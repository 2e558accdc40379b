/** Rows of events, and which events are rows, as pure functions. */

import { byName } from "./alphabet.js";
import { sumOf } from "./counts.js";
import { visible } from "./format.js";

/** Ends the event that counts the milliseconds of the sessions of another event. */
const TIME = ":ms";

/** A bucket of a histogram: the event of the histogram, and an upper bound. */
const BUCKET = /^(.+):le:-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?$/s;

/** Returns a row without counts. `labels` has names for people. */
export function newRow(id, labels, n_spans) {
  const label = Object.hasOwn(labels, id) ? labels[id] : id;
  return {
    id,
    label: visible(label),
    search: `${label}\n${id}`.toLowerCase(),
    history: new Array(n_spans).fill(null),
    last: null,
    current: null,
    rate: null,
    total: null,
    sum: 0,
    before: null,
    change: null,
  };
}

/** Sorts rows by their labels, and gives each its place. */
export function rank(rows) {
  rows.sort((a, b) => byName(a.label, b.label));
  rows.forEach((row, index) => (row.rank = index));
}

/** Returns the events of counts that are rows: no milliseconds of sessions, no buckets of histograms. */
export function rowsOf(counts, hasSessions) {
  return Object.keys(counts).filter((id) => !(hasSessions && id.endsWith(TIME)) && !isBucket(id, counts));
}

/** Returns whether an event is a bucket of a histogram that is in the same counts. */
function isBucket(id, counts) {
  const bucket = BUCKET.exec(id);
  return bucket !== null && Object.hasOwn(counts, bucket[1]);
}

/** Returns the count of an event, or `absent`. An event may be called `__proto__`. */
export function countOf(counts, id, absent = 0) {
  return Object.hasOwn(counts, id) ? counts[id] : absent;
}

/** Returns the count of milliseconds of the sessions of an event. */
export function millisecondsOf(counts, id) {
  return countOf(counts, `${id}${TIME}`);
}

/** Returns the mean length of the sessions of these events in seconds; null if there are none. */
export function meanLengthOf(counts, ids) {
  const timed = ids.filter((id) => Object.hasOwn(counts, `${id}${TIME}`));
  const n = sumOf(timed.map((id) => countOf(counts, id)));
  return n > 0 ? Number(sumOf(timed.map((id) => millisecondsOf(counts, id)))) / 1000 / Number(n) : null;
}
