/** Annotations of what is shown: deployments, alerts, and intervals that are late, missing or have lost counts. */

/** Milliseconds after which they are read again, and those after an interval has finished. */
const [AGE_MS, NEXT_MS] = [30_000, 3_000];

/** Keeps the annotations of one period. */
export class Annotations {
  #api;
  #changed;
  #key = "";
  #end = null; // end of the last interval when they were read
  #askedAt = -Infinity;
  #found = [];
  #stop = new AbortController();

  /** `changed()` is called when there are others. */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
  }

  /** Returns the annotations of the period of the figures, as far as they are known. */
  of({ scope, bounds, spans }) {
    const end = spans.at(-1)?.end;
    const age_ms = performance.now() - this.#askedAt;
    if (scope.key !== this.#key || age_ms > (end === this.#end ? AGE_MS : NEXT_MS)) {
      this.#end = end;
      this.#ask(scope, bounds);
    }
    return this.#found;
  }

  clear() {
    this.#stop.abort();
    this.#key = "";
    this.#found = [];
  }

  async #ask({ key, group, interval }, { from, to }) {
    this.#stop.abort();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#key = key;
    this.#askedAt = performance.now();
    const answer = await this.#api.annotations({ group, interval, since: from, until: to, signal }).catch(() => null);
    if (signal.aborted || answer === null) return;
    const before = JSON.stringify(this.#found);
    this.#found = answer.annotations;
    if (JSON.stringify(this.#found) !== before) this.#changed();
  }
}
