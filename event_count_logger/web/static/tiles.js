/** The sums of a group or of one event, in large type. */

import { against, whyNot } from "./comparison.js";
import { isStale } from "./conditions.js";
import { setText } from "./dom.js";
import { formatChange, formatCount, formatDuration, formatLength, formatRate, formatSpan, formatTime } from "./format.js";

/** Characters that fit in large type; longer figures are smaller. */
const LENGTH = 8;
/** Shown for a sum that has not arrived yet. */
const WAITING = "…";

/**
 * Shows sums of `figures`.
 *
 * @param shown `sums`: see `sumsOf`; `ids`: the events in them; `isPart`: whether the group has others; `highest`:
 *   {count, span} of the highest bar, or null; `seen`: {first, last} of one event, as tiles, or null.
 * @param now Unix seconds of the server.
 */
export function showTiles(root, figures, shown, now) {
  const tiles = { ...tilesOf(figures, shown, now), first: NONE, seen: NONE, ...shown.seen };
  for (const [name, { value, detail }] of Object.entries(tiles)) {
    const tile = root.querySelector(`[data-tile="${name}"]`);
    tile.hidden = value === null;
    if (tile.hidden) continue;
    setText(tile.querySelector(".value"), value);
    tile.querySelector(".value").style.setProperty("--length", Math.max(LENGTH, value.length));
    tile.querySelector(".value").classList.toggle("nothing", value === formatCount(null));
    setText(tile.querySelector(".detail"), detail);
  }
  root.classList.toggle("range", figures.isRange);
  root.classList.toggle("stale", isStale(figures.answer));
  root.querySelector(".progress > span").style.width = `${100 * progressOf(figures.answer, now)}%`;
}

const NONE = { value: null, detail: "" };

function tilesOf(figures, { sums, ids, isPart, highest }, now) {
  const { answer, isRange, hasSessions } = figures;
  const hasOpen = hasSessions && !isPart; // of all events together only
  return {
    last: { value: countText(sums.last), detail: lastDetail(answer, now) },
    sum: isRange ? { value: countText(sums.sum), detail: rangeDetail(figures, now) } : NONE,
    change: figures.compare === null ? NONE : changeTile(figures, sums, now),
    rate: { value: rateText(figures, sums), detail: "per second" },
    highest: isRange && highest ? { value: countText(highest.count), detail: spanText(highest.span, now) } : NONE,
    current: { value: countText(sums.current), detail: currentDetail(answer.current, now) },
    open: hasOpen ? { value: formatCount(answer.open_sessions), detail: "sessions now" } : NONE,
    length: hasSessions ? { value: formatLength(figures.meanLengthOf(ids)), detail: "per session" } : NONE,
    total: { value: countText(sums.total), detail: answer.totals ? "all-time" : "not kept" },
  };
}

function countText(count) {
  return count === undefined ? WAITING : formatCount(count);
}

function rateText({ period, isRange }, sums) {
  const count = isRange ? sums.sum : sums.last;
  return count === undefined ? WAITING : formatRate(period && count !== null ? Number(count) / period.covered_s : null);
}

function changeTile(figures, { before, change }, now) {
  const { period, periodBefore } = figures;
  if (before === undefined) return { value: WAITING, detail: "" };
  const isKnown = period && periodBefore;
  const detail = isKnown ? against(figures, before, now) : whyNot(figures) || "nothing to compare yet";
  return { value: formatChange(change), detail };
}

function rangeDetail({ spans }, now) {
  if (!spans.length) return "no interval";
  return spanText({ start: spans[0].start, end: spans.at(-1).end }, now);
}

function spanText({ start, end }, now) {
  return formatSpan(start, end, now);
}

function lastDetail({ last, length_s, overdue_s, stale }, now) {
  if (!last) return "no finished interval yet";
  const late = isStale({ stale, overdue_s }) ? `stale for ${formatDuration(overdue_s)}: ` : "";
  if (last.start === null) return `${late}until ${formatTime(last.end)}`;
  const span_s = last.end - last.start;
  const merged = span_s > length_s ? ` (${formatDuration(span_s)} long)` : "";
  return late + formatSpan(last.start, last.end, now) + merged;
}

function currentDetail(current, now) {
  if (!current || current.start === null) return "not started";
  return `for ${formatDuration(now - current.start)}`;
}

function progressOf({ current, length_s }, now) {
  if (!current || current.start === null) return 0;
  return Math.min(1, Math.max(0, (now - current.start) / length_s));
}
