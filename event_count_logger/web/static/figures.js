/** The figures of one group and interval, put together from what the server tells bit by bit. */

import { sumOf } from "./counts.js";

const ALPHABET = new Intl.Collator(undefined, { numeric: true });

/**
 * The rows of the table, and what they are of.
 *
 * A row has the event's `id` and `label`; `last`, `current`, `rate` (per second) and `total`, each null where
 * there is none yet; `history`, a count or null for each of `spans`; `sum`, the size of that history. Its
 * `rank` is its place in the alphabet.
 */
export class Figures {
  rows = [];
  /** The finished intervals that are held: {start, end, position}, the oldest first. */
  spans = [];
  /** Changes with each change of the history. */
  version = 0;
  #byId = new Map();
  #isRanked = true;

  /** `historyLength`: how many spans the server holds. */
  constructor(historyLength) {
    this.historyLength = historyLength;
  }

  /** Takes an answer with all of the history. */
  load(answer) {
    this.rows = [];
    this.#byId.clear();
    this.spans = answer.history.spans;
    this.labels = answer.labels;
    for (const [id, counts] of Object.entries(answer.history.counts)) this.#row(id).history = counts;
    this.update(answer);
    this.#historyChanged();
  }

  /** Takes an answer of the present. */
  update(answer) {
    this.answer = answer;
    this.#take("last", answer.last?.counts);
    this.#take("current", answer.current?.counts);
    this.#take("total", answer.totals);
    const { last } = answer;
    const span_s = last && last.start !== null ? last.end - last.start : 0;
    for (const row of this.rows) row.rate = span_s > 0 ? Number(row.last) / span_s : null;
    this.#rank();
  }

  /** Takes an interval that has just finished. Rows that nothing is known of any more go. */
  finish({ start, end, position, counts }) {
    if (this.spans.length && start < this.spans.at(-1).end) return;
    this.spans.push({ start, end, position });
    for (const row of this.rows) row.history.push(null);
    for (const [id, count] of Object.entries(counts)) this.#row(id).history[this.spans.length - 1] = count;
    if (this.spans.length > this.historyLength) {
      this.spans.shift();
      for (const row of this.rows) row.history.shift();
    }
    this.#forget();
    this.#historyChanged();
  }

  /** Where the stream is to go on; null if there is no history yet. */
  get position() {
    return this.spans.at(-1)?.position ?? null;
  }

  /** Whether the history should have, and has not, the interval that ended then; null: none did. */
  lacks(end) {
    return end !== null && this.historyLength > 0 && end > (this.spans.at(-1)?.end ?? 0);
  }

  /** The sum of one column; null where there are no figures in it yet. */
  sum(column) {
    const has = { last: this.answer.last, current: this.answer.current, total: this.answer.totals }[column];
    return has ? sumOf(this.rows.map((row) => row[column])) : null;
  }

  #take(column, counts) {
    const absent = counts ? 0 : null; // an event without a counter was not logged; without any, nothing is known
    for (const row of this.rows) row[column] = absent;
    for (const [id, count] of Object.entries(counts ?? {})) this.#row(id)[column] = count;
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
    if (this.#isRanked) return; // comparing names is what takes longest here
    this.#isRanked = true;
    this.rows.sort((a, b) => ALPHABET.compare(a.label, b.label));
    this.rows.forEach((row, index) => (row.rank = index));
  }
}
