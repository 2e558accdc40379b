/** Search for events of all groups, which the server does. */

import { element, setText } from "./dom.js";
import { formatCount, visible } from "./format.js";
import { formatRoute } from "./route.js";

/** Milliseconds after the last key until the server is asked. */
const PAUSE_MS = 200;
/** Most events that are shown. */
const MOST = 50;

/** Shows the events that match the words of the search. An answer to earlier words is never shown. */
export class EventSearch {
  #api;
  #root;
  #list;
  #words = "";
  #timer = null;
  #stop = new AbortController();

  /** `root` is the section of the events. */
  constructor(api, root) {
    this.#api = api;
    this.#root = root;
    this.#list = root.querySelector("ul");
  }

  /** Searches for other words after a pause; no words clear the events. `titleOf(name)` names a group. */
  ask(words, titleOf) {
    if (words === this.#words) return;
    this.#words = words;
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#root.classList.add("searching");
    if (words.trim()) this.#timer = setTimeout(() => this.#search(words, titleOf), PAUSE_MS);
    else this.#show(null);
  }

  async #search(words, titleOf) {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    try {
      const answer = await this.#api.search({ words, limit: MOST, signal });
      if (!signal.aborted) this.#show(answer, words, titleOf);
    } catch (problem) {
      if (!signal.aborted) this.#fail(problem);
    }
  }

  #show(answer, words, titleOf) {
    this.#root.classList.remove("searching");
    this.#root.hidden = answer === null;
    if (answer === null) return;
    const { events, n_events } = answer;
    setText(this.#root.querySelector(".count"), countOf(events.length, n_events));
    this.#list.replaceChildren(...events.map((event) => itemOf(event, words, titleOf)));
    this.#say(events.length ? "" : "No event matches the search.");
  }

  #fail({ message }) {
    this.#root.classList.remove("searching");
    this.#root.hidden = false;
    this.#list.replaceChildren();
    setText(this.#root.querySelector(".count"), "");
    this.#say(`The search failed: ${message}`);
    this.#words = ""; // the same words are asked for again
  }

  #say(text) {
    const message = this.#root.querySelector(".message");
    message.hidden = text === "";
    setText(message, text);
  }
}

function countOf(n_shown, n) {
  return n_shown < n ? `${formatCount(n_shown)} of ${formatCount(n)}` : formatCount(n);
}

function itemOf({ group, interval, event, label, last }, words, titleOf) {
  const name = element("span", { class: "event" }, ...marked(visible(label ?? event), words));
  if (label && label !== event) name.append(" ", element("small", {}, ...marked(visible(event), words)));
  const place = element("span", { class: "place" }, `${titleOf(group)} · ${interval}`);
  const href = formatRoute({ group, interval, event });
  const count = element("span", { class: "found_count" }, formatCount(last ?? null));
  return element("li", { class: "row found_event" }, element("a", { class: "open", href }, name), place, count);
}

/** Returns the text as nodes, with the words in <mark>. */
export function marked(text, words) {
  const parts = words.split(/\s+/).filter(Boolean).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!parts.length) return [text];
  const pieces = text.split(new RegExp(`(${parts.join("|")})`, "i"));
  return pieces.map((piece, index) => (index % 2 ? element("mark", {}, piece) : piece)).filter((piece) => piece !== "");
}
