/** New problems, for screen readers. */

import { setText } from "./dom.js";
import { visible } from "./format.js";

/** Most problems that are read out at once. */
const MOST = 3;
const WORDS = { stale: "stale", no_master: "no master", unavailable: "unavailable" };

/** Announces problems that are new, once. */
export class Announcer {
  #region;
  #known = new Set();

  /** `region` is a live region that only screen readers see. */
  constructor(region) {
    this.#region = region;
  }

  /** Takes the rows of all groups. */
  show(rows) {
    const texts = rows.flatMap(problemTexts);
    const fresh = texts.filter((text) => !this.#known.has(text));
    const isResolved = texts.length < this.#known.size;
    this.#known = new Set(texts);
    if (fresh.length) setText(this.#region, joined(fresh));
    else if (isResolved) setText(this.#region, texts.length ? `${texts.length} problems left` : "No problems");
  }
}

function problemTexts(row) {
  const title = visible(row.title ?? row.name);
  const alerts = row.alerts.map(({ severity, name }) => `${severity} alert: ${visible(name)}, ${title}`);
  return Object.hasOwn(WORDS, row.problem ?? "") ? [...alerts, `${WORDS[row.problem]}: ${title}`] : alerts;
}

function joined(texts) {
  const more = texts.length - MOST;
  return [...texts.slice(0, MOST), ...(more > 0 ? [`${more} more problems`] : [])].join(". ");
}
