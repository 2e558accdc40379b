/** The sums of a group, in large type. */

import { isStale } from "./conditions.js";
import { setText } from "./dom.js";
import { formatCount, formatDuration, formatLength, formatRate, formatSpan, formatTime } from "./format.js";

/** Characters that fit in large type. */
const LONG = 13;

/** Shows the sums of `figures` as of `now`, Unix seconds of the server. */
export function showTiles(root, figures, now) {
  const tiles = tilesOf(figures, now);
  for (const [name, { value, detail }] of Object.entries(tiles)) {
    const tile = root.querySelector(`[data-tile="${name}"]`);
    tile.hidden = value === null;
    if (tile.hidden) continue;
    setText(tile.querySelector(".value"), value);
    tile.querySelector(".value").classList.toggle("long", value.length > LONG);
    setText(tile.querySelector(".detail"), detail);
  }
  root.classList.toggle("stale", isStale(figures.answer));
  root.querySelector(".progress > span").style.width = `${100 * progressOf(figures.answer, now)}%`;
}

function tilesOf(figures, now) {
  const { last, current, totals } = figures.answer;
  const sum = figures.sum("last");
  const span_s = last && last.start !== null ? last.end - last.start : 0;
  return {
    last: { value: formatCount(sum), detail: lastDetail(last, figures.answer.length_s, now) },
    current: { value: formatCount(figures.sum("current")), detail: currentDetail(current, now) },
    rate: { value: formatRate(span_s > 0 ? Number(sum) / span_s : null), detail: "per second" },
    open: { value: figures.hasSessions ? formatCount(figures.answer.open_sessions) : null, detail: "sessions now" },
    length: { value: figures.hasSessions ? formatLength(figures.meanLength_s) : null, detail: "per session" },
    total: { value: formatCount(figures.sum("total")), detail: totals ? "all-time" : "not kept" },
  };
}

function lastDetail(last, length_s, now) {
  if (!last) return "no finished interval yet";
  if (last.start === null) return `until ${formatTime(last.end)}`;
  const span_s = last.end - last.start;
  const merged = span_s > length_s ? ` (${formatDuration(span_s)} long)` : "";
  return formatSpan(last.start, last.end, now) + merged;
}

function currentDetail(current, now) {
  if (!current || current.start === null) return "not started";
  return `for ${formatDuration(now - current.start)}`;
}

function progressOf({ current, length_s }, now) {
  if (!current || current.start === null) return 0;
  return Math.min(1, Math.max(0, (now - current.start) / length_s));
}
