/** Updates of the counts of one group, interval and range, until they are stopped. */

import { clock } from "./clock.js";
import { Figures } from "./figures.js";
import { comparisonOf, isLive, queryOf, reachesNow } from "./range.js";
import { repeat } from "./repeat.js";
import { orderIn, spelledOrder } from "./selection.js";

/** Milliseconds between two polls of the current interval, and those for each event in it. */
const [POLL_MS, POLL_MS_PER_EVENT] = [1000, 0.5];
/** Milliseconds until a stream that has ended is reopened. */
const REOPEN_MS = 500;
/** Rows of the first answer, events whose history it has in any case, and the most rows of an answer. */
const [FIRST_ROWS, TOP, MOST_ROWS] = [100, 6, 10_000];

/** The number of events of groups that were shown before, by name: it decides how many bars fit. */
const sizes = new Map();

/** Reads counts with their history, polls the current interval, and takes finished intervals from the stream. */
export class Feed {
  /** Null until the first answer. */
  figures = null;
  /** The ApiError of the last request; null if that succeeded. */
  problem = null;
  /** Time of the last answer, in milliseconds of clock(). */
  answeredAt = null;
  #api;
  #changed;
  #first;
  #compare;
  #stop = new AbortController();
  #tag = null; // of the last poll

  /**
   * Starts to read.
   *
   * @param scope group, interval and range; see `scopeOf`.
   * @param first {filter, event, sort}: the rows that are shown first.
   * @param changed called after each answer, event or error.
   */
  constructor(api, scope, first, changed) {
    this.#api = api;
    this.scope = scope;
    this.#first = first;
    this.#changed = changed;
    this.#compare = comparisonOf(scope);
    repeat((signal) => this.#step(signal), (problem) => this.#failed(problem), this.#stop.signal);
  }

  stop() {
    this.#stop.abort();
  }

  async #step(signal) {
    const began = performance.now();
    if (!this.figures) await this.#readFirst(signal);
    else if (!this.figures.isWhole || this.#isOutdated()) await this.#readAll(signal);
    else await this.#poll(signal);
    this.problem = null;
    this.answeredAt = clock();
    this.#changed();
    if (!this.figures.isWhole || this.figures.lacksComparison || this.#isRangeOver()) return 0;
    return Math.max(POLL_MS, this.figures.rows.length * POLL_MS_PER_EVENT, 4 * (performance.now() - began));
  }

  /** Reads the rows that are seen first. Without any others, the group is complete. */
  async #readFirst(signal) {
    const { filter, event, sort } = this.#first;
    const isRange = !isLive(this.scope);
    const order = spelledOrder(orderIn(isRange, sort), { isRange, isCompared: this.#compare !== null });
    const words = event === null ? filter : null;
    const rows = { limit: FIRST_ROWS, top: TOP, order, filter: words || null, event };
    const answer = await this.#api.figures(this.scope, { ...this.#query(), ...rows }, signal);
    sizes.set(this.scope.group, Math.max(answer.n_events, sizes.get(this.scope.group) ?? 0));
    if (this.#falls(answer.compared)) return this.#readFirst(signal);
    this.#load(answer, { filter: words, isWhole: answer.next === null && words === "" });
  }

  async #readAll(signal) {
    const answer = await this.#api.figures(this.scope, { ...this.#query(), limit: MOST_ROWS }, signal);
    sizes.set(this.scope.group, answer.n_events);
    this.#load(answer, { filter: "", isWhole: true });
  }

  #query() {
    return { ...queryOf(this.scope, sizes.get(this.scope.group) ?? 1), compare: this.#compare };
  }

  /** Compares with the interval before where the history does not go back to the day before. Returns true if so. */
  #falls(compared) {
    const isChosen = this.scope.compare !== null || this.#compare === "interval";
    if (isChosen || !compared || (isLive(this.scope) ? compared.last : compared.range)) return false;
    this.#compare = "interval";
    return true;
  }

  #load(answer, extent) {
    const isFirst = this.figures === null;
    const capacity = isLive(this.scope) ? queryOf(this.scope).history : 0;
    this.figures ??= new Figures(this.scope, capacity);
    this.figures.load(answer, { ...extent, compare: this.#compare });
    if (isFirst && capacity) repeat((signal) => this.#follow(signal), () => {}, this.#stop.signal);
  }

  async #poll(signal) {
    const isCompared = this.figures.lacksComparison;
    const query = { history: 0, limit: MOST_ROWS, compare: isCompared ? this.#compare : null };
    const tag = isCompared ? null : this.#tag;
    const { answer, tag: next } = await this.#api.figuresSince(tag, this.scope, query, signal);
    this.#tag = isCompared ? null : next;
    if (answer) this.figures.update(answer, isCompared);
    else this.figures.confirm((clock() - this.answeredAt) / 1000);
  }

  /** Returns true if intervals have finished that the history does not have. */
  #isOutdated() {
    // A live view takes them from the stream, unless that is late by a whole poll.
    return isLive(this.scope) ? this.figures.isOutdated : this.#isRangeOver();
  }

  #isRangeOver() {
    const { answer, loaded } = this.figures;
    if (isLive(this.scope) || !reachesNow(this.scope, loaded.server_time)) return false;
    return (answer.last?.end ?? null) !== (loaded.last?.end ?? null);
  }

  /** Takes intervals from the stream until it ends. The poll reports errors, so the stream does not. */
  async #follow(signal) {
    const after = this.figures.position;
    for await (const finished of this.#api.finished(this.scope, { after, signal })) {
      this.figures.finish(finished);
      this.#changed();
    }
    return REOPEN_MS;
  }

  #failed(problem) {
    this.problem = problem;
    this.#changed();
  }
}
