/** Menus that download what is shown, and copy a command for it. */

import { copied } from "./clipboard.js";
import { curlCommand, promqlExpression, readerCommand } from "./commands.js";
import { setText } from "./dom.js";

/** Most rows of a file. */
const MOST_ROWS = 10_000;

/** Buttons of the menus have the format or the kind of command as their value. */
export class Exports {
  #api;
  #view;
  #status;
  #text;

  /**
   * Listens to the menus in `root`.
   *
   * @param view returns what is shown, or null: {scope, query, period, route, events, figures, png()}.
   */
  constructor(api, root, view) {
    this.#api = api;
    this.#view = view;
    this.#status = root.querySelector(".exported [role=status]");
    this.#text = root.querySelector(".exported output");
    const [download, copy] = ["#download", "#copy"].map((id) => root.querySelector(id));
    download.addEventListener("click", ({ target }) => this.#choose(download, target, (kind) => this.#download(kind)));
    copy.addEventListener("click", ({ target }) => this.#choose(copy, target, (kind) => this.#copy(kind)));
  }

  /** Clears the last confirmation, which is about another view. */
  clear() {
    this.#confirm("", "");
  }

  #choose(menu, target, act) {
    const kind = target.closest("button")?.value;
    if (!kind) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    if (this.#view()) act(kind);
  }

  async #download(kind) {
    const view = this.#view();
    const name = `${nameOf(view)}.${kind}`;
    this.#confirm(`Preparing ${name} …`, "");
    try {
      save(name, await this.#file(kind, view));
      this.#confirm(`${name} was downloaded.`, "");
    } catch (error) {
      this.#confirm(`${name} could not be downloaded: ${error.message}`, "");
    }
  }

  #file(kind, view) {
    if (kind === "png") return view.png();
    const format = kind === "csv" ? { format: "csv" } : { limit: MOST_ROWS };
    return this.#api.file(view.scope, { ...queryOf(view), ...format }, new AbortController().signal);
  }

  async #copy(kind) {
    const text = this.#commandOf(kind);
    const isCopied = await copied(text);
    this.#confirm(isCopied ? "Copied:" : "This browser does not let the page copy. Select and copy this:", text);
  }

  #commandOf(kind) {
    const view = this.#view();
    const { scope, period, route, events, figures } = view;
    if (kind === "curl") return curlCommand(document.baseURI, scope, queryOf(view), this.#api.token() !== null);
    if (kind === "reader") return readerCommand(scope, period, { events, filter: route.filter });
    const { hasSessions, answer } = figures;
    return promqlExpression(scope, period, { events, filter: route.filter, hasSessions, hasTotals: answer.totals !== null });
  }

  #confirm(text, command) {
    setText(this.#status, text);
    setText(this.#text, command);
    this.#status.parentElement.hidden = !text;
  }
}

/** Returns the request for what is shown. A range has its times, so that it stays the same range. */
function queryOf({ query, period, route, figures }) {
  const range = period ? { ...query, since: period.from, until: period.to } : query;
  const { event, filter } = route;
  return { ...range, compare: figures.compare, ...(event === null ? { filter: filter || null } : { event }) };
}

function nameOf({ scope, route }) {
  return [scope.group, scope.interval, route.event].filter(Boolean).join("-").replace(/[^\p{L}\p{N}_.-]+/gu, "_");
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
