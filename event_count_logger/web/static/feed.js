/** Updates of the counts of one group and interval, until they are stopped. */

import { Figures } from "./figures.js";
import { repeat } from "./repeat.js";

/** Milliseconds between two polls of the current interval. */
const POLL_MS = 1000;
/** Milliseconds until a stream that has ended is reopened. */
const REOPEN_MS = 500;

/** Polls the current interval each second, and takes finished intervals from the stream. */
export class Feed {
  /** Null until the first answer. */
  figures = null;
  /** The ApiError of the last request; null if that succeeded. */
  problem = null;
  /** Time of the last answer, in milliseconds of performance.now(). */
  answeredAt = null;
  #api;
  #place;
  #changed;
  #historyLength;
  #stop = new AbortController();
  #lastEnd = null; // end of the last interval, in the last answer

  /** `place`: {group, interval}. `changed()` is called after each answer, event or error. */
  constructor(api, place, historyLength, changed) {
    this.#api = api;
    this.#place = place;
    this.#historyLength = historyLength;
    this.#changed = changed;
    repeat((signal) => this.#poll(signal), (problem) => this.#failed(problem), this.#stop.signal);
  }

  stop() {
    this.#stop.abort();
  }

  async #poll(signal) {
    const began = performance.now();
    const isWhole = !this.figures || this.figures.lacks(this.#lastEnd); // the stream is late by a whole poll
    const answer = await this.#api.figures(this.#place, { history: isWhole ? this.#historyLength : 0, signal });
    this.#lastEnd = answer.last?.end ?? null;
    this.problem = null;
    this.answeredAt = performance.now();
    if (this.figures && !isWhole) this.figures.update(answer);
    else this.#load(answer);
    this.#changed();
    return Math.max(POLL_MS, 4 * (performance.now() - began));
  }

  #load(answer) {
    const isFirst = this.figures === null;
    this.figures ??= new Figures(this.#historyLength);
    this.figures.load(answer);
    if (isFirst && this.#historyLength) repeat((signal) => this.#follow(signal), () => {}, this.#stop.signal);
  }

  /** Takes intervals from the stream until it ends. The poll reports errors, so the stream does not. */
  async #follow(signal) {
    const after = this.figures.position;
    for await (const finished of this.#api.finished(this.#place, { after, signal })) {
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
