/** The view of one event: its history as a table, and when it was seen first and last. */

import { element, setAttribute, setText } from "./dom.js";
import { changeOf, formatChange, formatCount, formatDate, formatLength, formatRate, formatSpan, formatTime } from "./format.js";
import { seenIn } from "./seen.js";

/** Milliseconds after which the times are read again: the oldest intervals leave the history. */
const AGE_MS = 600_000;

/** Fills the table of the history, and finds out when the event was seen. */
export class EventView {
  #api;
  #table;
  #changed;
  #key = "";
  #drawn = "";
  #stop = new AbortController();
  #seen = null; // {first, last}; undefined: the server did not answer
  #askedAt = 0;

  /** `changed()` is called when the times are known. */
  constructor(api, table, changed) {
    this.#api = api;
    this.#table = table;
    this.#changed = changed;
  }

  /** Shows the history of a row, newest first. `line`: counts to compare with, for each span, or null. */
  show(figures, row, line, now) {
    this.#follow(figures, row);
    const drawn = JSON.stringify([this.#key, figures.version, line, Math.floor(now / 60)]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    const { spans, hasSessions } = figures;
    const heads = ["Interval", "Count", hasSessions ? "Length" : "Rate", ...(line ? ["Change"] : [])];
    const rows = spans.map((span, n) => historyRow(span, n, { row, line, hasSessions, now })).reverse();
    this.#table.tHead.rows[0].replaceChildren(...heads.map((head) => element("th", { scope: "col" }, head)));
    this.#table.tBodies[0].replaceChildren(...rows);
    setText(this.#table.caption, `${row.label}: history, newest first`);
    setAttribute(this.#table, "hidden", spans.length ? null : "");
  }

  /** Returns the tiles of the first and the last interval in which the event was seen. */
  tiles(now) {
    const of = (span) => {
      if (this.#seen === null) return { value: "…", detail: "" };
      if (this.#seen === undefined) return { value: "–", detail: "unknown" };
      return span === null ? { value: "–", detail: "not in the kept history" } : seenTile(span, now);
    };
    return { first: of(this.#seen?.first), seen: of(this.#seen?.last) };
  }

  /** Hides the history, which may be that of another event. */
  clear() {
    this.#stop.abort();
    this.#key = this.#drawn = "";
    this.#seen = null;
    setAttribute(this.#table, "hidden", "");
  }

  /** Asks when the event was seen; later intervals are in the figures. */
  #follow({ scope, answer: { last } }, { id, last: count }) {
    const key = JSON.stringify([scope.group, scope.interval, id]);
    const isOther = key !== this.#key;
    if (isOther || performance.now() - this.#askedAt > AGE_MS) this.#ask(key, scope, id);
    if (isOther) this.#seen = null;
    const isLater = count && this.#seen && last.start !== null;
    if (isLater) this.#seen = { first: this.#seen.first ?? last, last };
  }

  #ask(key, scope, id) {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#key = key;
    this.#askedAt = performance.now();
    const { signal } = this.#stop;
    seenIn(this.#api, scope, id, signal).then(
      (seen) => this.#take(seen, signal),
      () => this.#take(undefined, signal),
    );
  }

  #take(seen, signal) {
    if (signal.aborted) return;
    this.#seen = seen;
    this.#changed();
  }
}

function seenTile({ start }, now) {
  const isToday = formatDate(start) === formatDate(now);
  const value = isToday ? formatTime(start, start % 60 !== 0) : `${formatDate(start)}, ${formatTime(start)}`;
  return { value, detail: "in the kept history" };
}

function historyRow(span, n, { row, line, hasSessions, now }) {
  const count = row.history[n];
  const ms = hasSessions ? row.ms[n] : null;
  const length = count ? Number(ms) / 1000 / Number(count) : null;
  const rate = count === null ? null : Number(count) / span.covered_s;
  const texts = [formatCount(count), hasSessions ? formatLength(length) : formatRate(rate)];
  const cells = texts.map((text) => element("td", { class: classOf(text) }, text));
  if (line) cells.push(changeCell(count, line[n]));
  return element("tr", {}, element("th", { scope: "row" }, formatSpan(span.start, span.end, now)), ...cells);
}

function changeCell(count, before) {
  const text = formatChange(changeOf(count === null ? 0 : count, before));
  const title = before === null ? null : `${formatCount(count ?? 0)}, against ${formatCount(before)}`;
  return element("td", { class: `change ${classOf(text)}`, ...(title && { title }) }, text);
}

function classOf(text) {
  return text === "0" ? "figure zero" : text === "–" ? "figure nothing" : "figure";
}
