/** The state of all groups, from one request and then from one stream, or from a request every 5 s. */

import { ApiError } from "./api.js";
import { clock } from "./clock.js";
import { loaded, updated } from "./overview_state.js";
import { repeat } from "./repeat.js";

/** Milliseconds between two looks at how long the stream was silent. */
const LOOK_MS = 1000;
/** Milliseconds of silence after which the page asks whether the server and Redis still answer. */
const SILENCE_MS = 5000;
/** Milliseconds until a stream that has ended is reopened. */
const REOPEN_MS = 500;

/** Keeps `state` up to date, with the current token. */
export class OverviewFeed {
  /** Null until the first answer. */
  state = null;
  /** The ApiError of the last request; null if that succeeded. */
  problem = null;
  /** Time of the last answer or event, in milliseconds of clock(). */
  answeredAt = null;
  #api;
  #changed;
  #stop = new AbortController();
  #heardAt = -Infinity; // the stream is silent since then
  #isStreamed = true;
  #stream = null; // the AbortController of the stream; null without one

  /** `changed()` is called after each answer, event or error. */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** Starts or restarts the requests. */
  start() {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#endStream();
    this.#heardAt = -Infinity;
    repeat((signal) => this.#look(signal), (problem) => this.#failed(problem), this.#stop.signal);
  }

  /**
   * True to take updates from the stream as soon as there is a state; false to ask for them only.
   *
   * A browser has six connections to a server (HTTP/1.1), for all of its windows. A page that has another stream should
   * not have this one.
   */
  set isStreamed(isStreamed) {
    this.#isStreamed = isStreamed;
    if (!isStreamed) this.#endStream();
    else if (this.state) this.#startToFollow();
  }

  /** Seconds since the last answer; null before the first one. */
  get age_s() {
    return this.answeredAt === null ? null : (clock() - this.answeredAt) / 1000;
  }

  async #look(signal) {
    if (clock() - this.#heardAt < SILENCE_MS) return LOOK_MS;
    const answer = await this.#api.overview(signal);
    this.#take(loaded(answer));
    this.#startToFollow();
    return LOOK_MS;
  }

  #startToFollow() {
    if (!this.#isStreamed || this.#stream) return;
    this.#stream = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, this.#stream.signal]);
    repeat((seen) => this.#follow(seen), () => this.#ended(), signal);
  }

  #endStream() {
    this.#stream?.abort();
    this.#stream = null;
  }

  /** Takes updates from the stream until it ends. The next look reports errors. */
  async #follow(signal) {
    for await (const update of this.#api.overviewUpdates({ after: this.state.revision, signal })) {
      if (update instanceof ApiError) this.#failed(update);
      else this.#take(updated(this.state, update));
    }
    this.#ended();
    return REOPEN_MS;
  }

  #take(state) {
    this.state = state;
    this.problem = null;
    this.answeredAt = this.#heardAt = clock();
    this.#changed();
  }

  #ended() {
    if (this.#stream) this.#heardAt = -Infinity;
  }

  #failed(problem) {
    this.problem = problem;
    this.#changed();
  }
}
