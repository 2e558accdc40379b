/** Keeps the figures of one group and interval up to date for as long as it is not stopped. */

import { Figures } from "./figures.js";
import { repeat } from "./repeat.js";

/** Milliseconds between two looks at the running interval. */
const POLL_MS = 1000;
/** Milliseconds until a stream that broke is opened again. */
const REOPEN_MS = 500;

/** Asks each second for the running interval, and takes the finished ones from the stream. */
export class Feed {
  /** Null until the first answer. */
  figures = null;
  /** Why the last question was not answered; null if it was. */
  problem = null;
  /** When the last answer came, by the clock of this page in milliseconds. */
  answeredAt = null;
  #api;
  #place;
  #changed;
  #historyLength;
  #stop = new AbortController();
  #lastEnd = null; // of the last finished interval when it was last asked for

  /** `place`: {group, interval}. `changed()` is called with each news, good or bad. */
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
    const isWhole = !this.figures || this.figures.lacks(this.#lastEnd); // the stream had time to bring it
    const answer = await this.#api.figures(this.#place, { history: isWhole ? null : 0, signal });
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

  /** Takes what the stream gives until it breaks. Whether the server is there, the poll finds out. */
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
