/** The counts of one group and interval, assembled from answers and stream events. */

import { sumOf } from "./counts.js";

/** Ends the event that counts the milliseconds of the sessions of another event. */
const TIME = ":ms";

/** A bucket of a histogram: the event of the histogram, and an upper bound. */
const BUCKET = /^(.+):le:-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?$/s;

const ALPHABET = new Intl.Collator(undefined, { numeric: true });

/**
 * The rows of the table, and the finished intervals.
 *
 * A row has these fields:
 *
 *   id, label                   of the event
 *   last, current, total        counts; null where there is none yet
 *   rate                        events per second; of sessions, their mean length in seconds; null where unknown
 *   history                     for each of `spans` a count or null
 *   sum                         sum of the history
 *   rank                        position in alphabetical order
 */
export class Figures {
  rows = [];
  /** The finished intervals in the history: {start, end, position}, oldest first. */
  spans = [];
  /** Number of changes of the history. */
  version = 0;
  #byId = new Map();
  #isRanked = true;

  /** `historyLength`: number of finished intervals that the server holds. */
  constructor(historyLength) {
    this.historyLength = historyLength;
  }

  /** Replaces everything by an answer that includes the history. */
  load(answer) {
    this.answer = answer;
    this.rows = [];
    this.#byId.clear();
    this.spans = answer.history.spans;
    this.labels = answer.labels;
    for (const [id, counts] of this.#countsOf(answer.history.counts)) this.#row(id).history = counts;
    this.update(answer);
    this.#historyChanged();
  }

  /** Updates last, current, rate and total from an answer without the history. */
  update(answer) {
    this.answer = answer;
    this.#take("last", answer.last?.counts);
    this.#take("current", answer.current?.counts);
    this.#take("total", answer.totals);
    const { last } = answer;
    const span_s = last && last.start !== null ? last.end - last.start : 0;
    for (const row of this.rows) {
      if (this.hasSessions) row.rate = lengthOf(row.id, answer.totals ?? last?.counts ?? {});
      else row.rate = span_s > 0 ? Number(row.last) / span_s : null;
    }
    this.#rank();
  }

  /** True if events count sessions. Their milliseconds, `EVENT:ms`, then are in no row and in no sum. */
  get hasSessions() {
    return this.answer.open_sessions !== null;
  }

  /** Returns the mean length of all sessions in seconds; null if unknown. */
  get meanLength_s() {
    const counts = this.answer.totals ?? this.answer.last?.counts ?? {};
    const times = Object.keys(counts).filter((id) => this.#isTime(id));
    const [n, ms] = [times.map((id) => id.slice(0, -TIME.length)), times].map((ids) => sumOf(ids.map((id) => counts[id])));
    return n > 0 ? Number(ms) / 1000 / Number(n) : null;
  }

  /** Adds an interval that has finished, and removes rows that have no count left. */
  finish({ start, end, position, counts }) {
    if (this.spans.length && start < this.spans.at(-1).end) return;
    this.spans.push({ start, end, position });
    for (const row of this.rows) row.history.push(null);
    for (const [id, count] of this.#countsOf(counts)) this.#row(id).history[this.spans.length - 1] = count;
    if (this.spans.length > this.historyLength) {
      this.spans.shift();
      for (const row of this.rows) row.history.shift();
    }
    this.#forget();
    this.#historyChanged();
  }

  /** The position from which the stream continues; null without a history. */
  get position() {
    return this.spans.at(-1)?.position ?? null;
  }

  /** Returns true if the interval that ended at `end` is missing in the history; `end` is null if none has ended. */
  lacks(end) {
    return end !== null && this.historyLength > 0 && end > (this.spans.at(-1)?.end ?? 0);
  }

  /** Returns the sum of one column; null if the column has no counts yet. */
  sum(column) {
    const has = { last: this.answer.last, current: this.answer.current, total: this.answer.totals }[column];
    return has ? sumOf(this.rows.map((row) => row[column])) : null;
  }

  #take(column, counts) {
    const absent = counts ? 0 : null; // null: there are no counts yet
    for (const row of this.rows) row[column] = absent;
    for (const [id, count] of this.#countsOf(counts ?? {})) this.#row(id)[column] = count;
  }

  /** Returns entries of event and count, without milliseconds of sessions and buckets of histograms. */
  #countsOf(counts) {
    return Object.entries(counts).filter(([id]) => !this.#isTime(id) && !isBucket(id, counts));
  }

  #isTime(id) {
    return this.hasSessions && id.endsWith(TIME);
  }

  #row(id) {
    if (!this.#byId.has(id)) this.#byId.set(id, this.#newRow(id));
    return this.#byId.get(id);
  }

  #newRow(id) {
    const label = Object.hasOwn(this.labels, id) ? this.labels[id] : id;
    const history = new Array(this.spans.length).fill(null);
    const search = `${label}\n${id}`.toLowerCase();
    const row = { id, label, search, history, last: null, current: null, rate: null, total: null, sum: 0 };
    this.rows.push(row);
    this.#isRanked = false;
    return row;
  }

  #forget() {
    this.rows = this.rows.filter((row) => {
      const isKnown = row.last || row.current || row.total || row.history.some((count) => count !== null);
      if (!isKnown) this.#byId.delete(row.id);
      return isKnown;
    });
  }

  #historyChanged() {
    this.version += 1;
    for (const row of this.rows) {
      row.sum = row.history.reduce((sum, count) => sum + Number(count), 0);
      row.sparkline = null;
    }
    this.#rank();
  }

  #rank() {
    if (this.#isRanked) return; // comparing names is the slowest step
    this.#isRanked = true;
    this.rows.sort((a, b) => ALPHABET.compare(a.label, b.label));
    this.rows.forEach((row, index) => (row.rank = index));
  }
}

/** Returns whether an event is a bucket of a histogram that is in the same counts. */
function isBucket(id, counts) {
  const bucket = BUCKET.exec(id);
  return bucket !== null && Object.hasOwn(counts, bucket[1]);
}

/** Returns the mean length of the sessions of an event in seconds; null if there are none. */
function lengthOf(id, counts) {
  const n = Object.hasOwn(counts, id) ? Number(counts[id]) : 0;
  return n > 0 ? Number(counts[`${id}${TIME}`] ?? 0) / 1000 / n : null;
}
