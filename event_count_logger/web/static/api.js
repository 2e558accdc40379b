/** Client of the HTTP API. Paths are relative, so that the page works behind a reverse proxy with a path prefix. */

import { eventsOf } from "./event_stream.js";
import { parseExactly } from "./exact_json.js";

/** Milliseconds to wait for an answer. */
const TIMEOUT_MS = 10_000;
/** Milliseconds after the start of the page in which the answer that the browser has asked for is new enough. */
const PRELOADED_MS = 1_000;
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

  /** Returns all alerts with their state. */
  alerts(signal) {
    return this.#json("api/v1/alerts", signal);
  }

  /** Returns the state of all groups, problems first. */
  overview(signal) {
    return this.#json("api/v1/overview", signal);
  }

  /** Yields each change of the state of all groups after a revision, or an ApiError while Redis is unavailable. */
  async *overviewUpdates({ after, signal }) {
    const path = `api/v1/overview/stream${queryOf({ after })}`;
    for await (const { event, data } of this.#events(path, signal)) {
      if (event === "overview") yield parseExactly(data);
      else if (event === "unavailable") yield new ApiError(503, JSON.parse(data).reason);
    }
  }

  /** Returns groups and events that match words. */
  search({ words, limit, signal }) {
    return this.#json(`api/v1/search${queryOf({ filter: words, limit })}`, signal);
  }

  /** Returns annotations of a period: notes, alerts, and intervals that are late, missing or have lost counts. */
  annotations({ group, interval, since, until, signal }) {
    return this.#json(`api/v1/annotations${queryOf({ group, interval, since, until })}`, signal);
  }

  /** Returns the counts of one group and interval. `query`: see `pathOfCounts`. */
  figures(place, query, signal) {
    return this.#json(pathOfCounts(place, query), signal);
  }

  /**
   * Returns {answer, tag}. `tag` is that of the answer before; if nothing has changed since, `answer` is null.
   */
  async figuresSince(tag, place, query, signal) {
    const headers = tag ? { "If-None-Match": tag } : {};
    const answer = await this.#get(pathOfCounts(place, query), within(TIMEOUT_MS, signal), headers);
    const isSame = answer.status === 304;
    const text = isSame ? "null" : await orNoAnswer(answer.text());
    return { answer: parseExactly(text), tag: answer.headers.get("ETag") };
  }

  /** Returns the body of the answer to the same request in another format. */
  async file(place, query, signal) {
    const answer = await this.#get(pathOfCounts(place, query), within(TIMEOUT_MS, signal));
    return orNoAnswer(answer.blob());
  }

  /** Yields each interval that finishes after a position (null: from now on), until the stream ends. */
  async *finished({ group, interval }, { after, signal }) {
    const path = `${pathOf(group, interval)}/stream${queryOf({ after })}`;
    for await (const { event, data } of this.#events(path, signal)) {
      if (event === "interval") yield parseExactly(data);
    }
  }

  /** Yields the events of a stream until it ends or is silent for too long. */
  async *#events(path, signal) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const answer = await this.#get(path, AbortSignal.any([signal, silence.signal]));
      for await (const event of eventsOf(answer.body)) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        if (event !== null) yield event;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #json(path, signal) {
    const answer = await this.#get(path, within(TIMEOUT_MS, signal));
    return parseExactly(await orNoAnswer(answer.text()));
  }

  async #get(path, signal, further = {}) {
    const token = this.token();
    const headers = { ...further, ...(token && { Authorization: `Bearer ${token}` }) };
    // A preloaded answer belongs to the mode "cors". Later it would be shown as a new one.
    const mode = performance.now() < PRELOADED_MS ? "cors" : "same-origin";
    const answer = await orNoAnswer(fetch(path, { headers, signal, mode, cache: "no-store" }));
    if (!answer.ok && answer.status !== 304) throw new ApiError(answer.status, await detailOf(answer));
    return answer;
  }
}

/** Returns the path of the counts of a group and interval; `query` has parameters of the API, null for none. */
export function pathOfCounts({ group, interval }, query) {
  return pathOf(group, interval) + queryOf(query);
}

function pathOf(group, interval) {
  return `api/v1/groups/${encodeURIComponent(group)}/${encodeURIComponent(interval)}`;
}

function queryOf(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return given.length ? `?${query}` : "";
}

function within(timeout_ms, signal) {
  return AbortSignal.any([signal, AbortSignal.timeout(timeout_ms)]);
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
