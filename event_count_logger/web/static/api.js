/** Client of the HTTP API. Paths are relative, so that the page works behind a reverse proxy with a path prefix. */

import { eventsOf } from "./event_stream.js";
import { parseExactly } from "./exact_json.js";

/** Milliseconds to wait for an answer. */
const TIMEOUT_MS = 10_000;
/** Milliseconds without any data after which a stream is closed and reopened. The server sends some every 15 s. */
const SILENCE_MS = 45_000;

/** A failed request. `status` is the HTTP status, or 0 if the server is unreachable. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The requests that the page sends. `token()` returns the current token, or null. Requests may throw ApiError. */
export class Api {
  constructor(token) {
    this.token = token;
  }

  /** Returns all groups with their state. */
  groups(signal) {
    return this.#json("api/v1/groups", signal);
  }

  /** Returns all alerts with their state. */
  alerts(signal) {
    return this.#json("api/v1/alerts", signal);
  }

  /** Returns the counts of one group and interval, with up to `history` finished intervals. */
  figures({ group, interval }, { history, signal }) {
    const query = `?history=${history}`;
    return this.#json(`${pathOf(group, interval)}${query}`, signal);
  }

  /** Yields each interval that finishes after a position (null: from now on), until the stream ends. */
  async *finished({ group, interval }, { after, signal }) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const query = after === null ? "" : `?after=${encodeURIComponent(after)}`;
    try {
      const path = `${pathOf(group, interval)}/stream${query}`;
      const answer = await this.#get(path, AbortSignal.any([signal, silence.signal]));
      for await (const event of eventsOf(answer.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        if (event?.event === "interval") yield parseExactly(event.data);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #json(path, signal) {
    const answer = await this.#get(path, AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]));
    return parseExactly(await orNoAnswer(answer.text()));
  }

  async #get(path, signal) {
    const token = this.token();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await orNoAnswer(fetch(path, { headers, signal, cache: "no-store" }));
    if (!answer.ok) throw new ApiError(answer.status, await detailOf(answer));
    return answer;
  }
}

function pathOf(group, interval) {
  return `api/v1/groups/${encodeURIComponent(group)}/${encodeURIComponent(interval)}`;
}

function orNoAnswer(promise) {
  return promise.catch(() => {
    throw new ApiError(0, "the server does not answer");
  });
}

async function detailOf(answer) {
  const problem = await answer.json().catch(() => null);
  return problem?.detail ?? problem?.title ?? `status ${answer.status}`;
}
