/** The part of the address behind `#`: all that is shown, for bookmarks and the back button. */

/** Largest counts of the last interval first. */
const DEFAULT_SORT = { column: "last", descending: true };

/** Most characters of a filter and of a search, and the last Unix second of a period: the limits of the server. */
const [MOST_FILTER, MOST_SEARCH, END_OF_TIME] = [1000, 200, 253_402_300_799];

/** Values of the parts that have few. The first one is the default; null: the page chooses. */
const CHOICES = {
  range: [null, "1h", "6h", "24h", "7d", "30d"],
  compare: [null, "interval", "day", "week", "none"],
  chart: ["stacked", "lines", "share"],
  pick: ["size", "change"],
};

/**
 * `#group=web&interval=5m&filter=err&sort=-last` as an object.
 *
 * Missing parts are null or their default. `since` and `until` are Unix seconds; they replace a `range`.
 */
export function parseRoute(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  const period = parsePeriod(query);
  const choices = Object.entries(CHOICES).map(([name, values]) => [name, parseChoice(query.get(name), values)]);
  return {
    group: query.get("group"),
    interval: query.get("interval"),
    event: query.get("event"),
    ...Object.fromEntries(choices),
    ...(period ? { range: null, ...period } : { since: null, until: null }),
    log: query.get("log") === "1",
    hide: query.getAll("hide"),
    filter: (query.get("filter") ?? "").slice(0, MOST_FILTER),
    sort: parseSort(query.get("sort")),
    q: (query.get("q") ?? "").slice(0, MOST_SEARCH),
  };
}

/** The reverse of `parseRoute`. Defaults are left out. */
export function formatRoute(route) {
  const query = new URLSearchParams();
  const { since = null, until = null, range, hide = [], sort = DEFAULT_SORT } = route;
  for (const name of ["group", "interval", "event"]) add(query, name, route[name]);
  if (since === null) add(query, "range", range);
  else for (const [name, at] of Object.entries({ since, until })) add(query, name, String(at));
  for (const name of ["compare", "chart"]) add(query, name, route[name], CHOICES[name][0]);
  add(query, "log", route.log && "1");
  add(query, "pick", route.pick, CHOICES.pick[0]);
  for (const id of hide) query.append("hide", id);
  add(query, "filter", route.filter);
  add(query, "sort", formatSort(sort), formatSort(DEFAULT_SORT));
  add(query, "q", route.q);
  return `#${query}`;
}

function add(query, name, value, byDefault = null) {
  if (value && value !== byDefault) query.set(name, value);
}

function parseChoice(text, values) {
  return values.includes(text) ? text : values[0];
}

/** Returns {since, until}, or null if they are no period. */
function parsePeriod(query) {
  const [since, until] = ["since", "until"].map((name) => Number(query.get(name) || NaN));
  return 0 <= since && since < until && until <= END_OF_TIME ? { since, until } : null;
}

function parseSort(text) {
  const [, minus, column] = /^(-?)(event|last|current|rate|total|sum|change)$/.exec(text ?? "") ?? [];
  return column ? { column, descending: minus === "-" } : DEFAULT_SORT;
}

function formatSort({ column, descending }) {
  return `${descending ? "-" : ""}${column}`;
}
