/** The counts of one group and interval, assembled from answers and stream events. */

import { derive, periodBeforeOf, periodOf } from "./periods.js";
import { boundsOf, isLive } from "./range.js";
import { countOf, meanLengthOf, millisecondsOf, newRow, rank, rowsOf } from "./rows.js";

/**
 * The rows of the table, and the finished intervals.
 *
 * A row has these fields:
 *
 *   id, label                   of the event
 *   last, current, total        counts; null where there is none yet
 *   sum                         sum of the history
 *   rate                        events per second; of sessions, their mean length in seconds; null where unknown
 *   before, change              count that it is compared with, and the change of the rate: 0.5 for half as much
 *                               again, Infinity where there was none before; null where unknown
 *   history                     for each of `spans` a count or null
 *   ms                          of sessions: for each of `spans` their milliseconds or null
 *   rank                        position in alphabetical order
 *
 * Rate and change are those of the last interval in a live view, and those of the whole range otherwise.
 */
export class Figures {
  rows = [];
  /** Rows of which only the history is known: they are in the chart, but in no table and no sum. */
  tops = [];
  /** The finished intervals in the history, or steps of a range: {start, end, covered_s, position}, oldest first. */
  spans = [];
  /** Start of the oldest interval in the history, if the view begins before it; null otherwise. */
  begin = null;
  /** Number of changes of the history, and of any counts. */
  version = 0;
  revision = 0;
  /** True if the rows are all that the server sends, and not those that are shown first. */
  isWhole = false;
  /** True if Redis has lost the history, and numbers its intervals from 1 again: the spans are of the lost one. */
  hasRestarted = false;
  /** The filter of the sums in `loaded`; null if they are of one event. */
  filter = null;
  /** The name of the comparison, or null; and what the counts are compared with: {by_s, last, range, history}; null without a comparison. */
  compare = null;
  compared = null;
  #comparedEnd = null; // end of the last interval when it was compared
  #byId = new Map();
  #isRanked = true;

  /** `scope`: see `scopeOf`. `capacity`: number of finished intervals that a live view shows. */
  constructor(scope, capacity) {
    this.scope = scope;
    this.capacity = capacity;
    this.isRange = !isLive(scope);
  }

  /** Replaces everything by an answer with the history. `filter`, `isWhole`: see the fields. */
  load(answer, { filter, isWhole, compare }) {
    Object.assign(this, { filter, isWhole, compare, hasRestarted: false });
    this.n_events = answer.n_events;
    this.rows = [];
    this.#byId.clear();
    const { begin, spans, counts } = answer.history;
    this.begin = begin;
    this.spans = spans.map((span) => ({ ...span, covered_s: span.covered_s ?? span.end - span.start }));
    this.loaded = answer;
    this.compared = answer.compared;
    this.hasSessions = answer.open_sessions !== null;
    for (const id of answer.events) this.#row(id, answer.labels).history = this.#of(counts, id);
    if (this.hasSessions) for (const row of this.rows) row.ms = this.#of(counts, `${row.id}:ms`);
    const tops = answer.top.filter((id) => !this.#byId.has(id)).map((id) => newRow(id, answer.labels, spans.length));
    this.tops = tops.map((row) => ({ ...row, history: this.#of(counts, row.id) }));
    this.update(answer, true);
    this.#historyChanged();
  }

  /**
   * Updates last, current, total and what follows from them, from an answer without the history.
   *
   * @param isCompared whether the request asked for the comparison.
   */
  update(answer, isCompared) {
    this.answer = answer;
    this.revision += 1;
    if (isCompared) {
      this.compared = answer.compared && { ...this.compared, last: answer.compared.last };
      this.#comparedEnd = answer.last?.end ?? null;
    }
    for (const id of answer.events) this.#row(id, answer.labels);
    this.#take("last", answer.last?.counts);
    this.#take("current", answer.current?.counts);
    this.#take("total", answer.totals);
    this.#rank();
    derive(this);
  }

  /** Notes that nothing has changed since the last answer, which is that old. */
  confirm(age_s) {
    const { server_time, overdue_s, stale } = this.answer;
    const overdue = stale && overdue_s !== null ? overdue_s + age_s : overdue_s;
    this.answer = { ...this.answer, server_time: server_time + age_s, overdue_s: overdue };
  }

  /** True if the last interval has finished after the one that was compared. */
  get lacksComparison() {
    return this.compared !== null && !this.isRange && this.#comparedEnd !== (this.answer.last?.end ?? null);
  }

  /** Begin and end of the view. */
  get bounds() {
    return boundsOf(this.scope, this.isRange ? this.loaded : this.answer, this.spans);
  }

  /** The period of rate and change: {start, end, covered_s, counts}; null if nothing has finished in it. */
  get period() {
    return periodOf(this);
  }

  /** The period that it is compared with; null if its counts are unknown. */
  get periodBefore() {
    return this.compared === null || this.lacksComparison ? null : periodBeforeOf(this);
  }

  /** Adds an interval that has finished, and removes rows that have no count left. */
  finish({ start, end, position, counts }) {
    this.hasRestarted ||= this.#isOfAnother(start, position);
    if (this.hasRestarted) return;
    if (this.spans.length && start < this.spans.at(-1).end) return;
    this.spans.push({ start, end, covered_s: end - start, position });
    for (const row of this.rows) this.#append(row, null, null);
    for (const id of rowsOf(counts, this.hasSessions)) {
      const row = this.#row(id, this.loaded.labels);
      row.history[this.spans.length - 1] = counts[id];
      if (this.hasSessions) row.ms[this.spans.length - 1] = millisecondsOf(counts, id);
    }
    if (this.spans.length > this.capacity) this.#shift();
    this.#forget();
    this.#historyChanged();
  }

  /** The position from which the stream continues; null without a history. */
  get position() {
    return this.spans.at(-1)?.position ?? null;
  }

  /** Returns true if the history is not that of the last answer: an interval is missing, or Redis has lost it. */
  get isOutdated() {
    const { last } = this.answer;
    if (this.hasRestarted || (!last && this.spans.length > 0)) return true;
    return (last?.end ?? null) !== null && this.capacity > 0 && last.end > (this.spans.at(-1)?.end ?? 0);
  }

  /** Returns the row of an event; undefined if it has none. */
  row(id) {
    return this.#byId.get(id);
  }

  /** Returns true if an interval that is not shown has no higher number than the last one. */
  #isOfAnother(start, position) {
    const last = this.spans.at(-1);
    if (!last || start < this.spans[0].start || numberOf(position) > numberOf(last.position)) return false;
    return !this.spans.some((span) => span.position === position);
  }

  #of(counts, id) {
    return Object.hasOwn(counts, id) ? counts[id] : new Array(this.spans.length).fill(null);
  }

  #take(column, counts) {
    for (const row of this.rows) row[column] = counts ? countOf(counts, row.id) : null; // null: no counts yet
  }

  /** Returns the mean length of the sessions of these events in seconds; null if unknown. */
  meanLengthOf(ids) {
    const { totals, last } = this.answer;
    return meanLengthOf((this.isRange ? this.loaded.range?.counts : (totals ?? last?.counts)) ?? {}, ids);
  }

  #row(id, labels) {
    if (!this.#byId.has(id)) {
      const row = newRow(id, labels, this.spans.length);
      if (this.hasSessions) row.ms = new Array(this.spans.length).fill(null);
      this.#byId.set(id, row);
      this.rows.push(row);
      this.#isRanked = false;
    }
    return this.#byId.get(id);
  }

  #append(row, count, ms) {
    row.history.push(count);
    row.ms?.push(ms);
  }

  #shift() {
    this.spans.shift();
    for (const row of this.rows) {
      row.history.shift();
      row.ms?.shift();
    }
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
    this.revision += 1;
    for (const row of [...this.rows, ...this.tops]) {
      const isKnown = this.isRange && this.loaded.range && Object.hasOwn(this.loaded.range.counts, row.id);
      row.sum = isKnown ? this.loaded.range.counts[row.id] : row.history.reduce((sum, count) => sum + Number(count), 0);
      row.sparkline = null;
    }
    this.#rank();
  }

  #rank() {
    if (this.#isRanked) return; // comparing names is the slowest step
    this.#isRanked = true;
    rank(this.rows);
    this.tops.forEach((row, n) => (row.rank = this.rows.length + n));
  }
}

/** Returns the number of an interval in the history, from its position `<milliseconds>-<number>`. */
function numberOf(position) {
  return Number(position.split("-")[1]);
}
