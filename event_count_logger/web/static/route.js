/** The part of the address behind `#`: group, interval, filter and order, for bookmarks and the back button. */

/** Largest counts of the last interval first. */
const DEFAULT_SORT = { column: "last", descending: true };

/** `#group=web&interval=5m&filter=err&sort=-last` as an object; missing parts are null, the filter "". */
export function parseRoute(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  return {
    group: query.get("group"),
    interval: query.get("interval"),
    filter: query.get("filter") ?? "",
    sort: parseSort(query.get("sort")),
  };
}

/** The reverse of `parseRoute`. */
export function formatRoute({ group, interval, filter = "", sort = DEFAULT_SORT }) {
  const query = new URLSearchParams();
  if (group) query.set("group", group);
  if (interval) query.set("interval", interval);
  if (filter) query.set("filter", filter);
  const order = formatSort(sort);
  if (order !== formatSort(DEFAULT_SORT)) query.set("sort", order);
  return `#${query}`;
}

function parseSort(text) {
  const [, minus, column] = /^(-?)(event|last|current|rate|total)$/.exec(text ?? "") ?? [];
  return column ? { column, descending: minus === "-" } : DEFAULT_SORT;
}

function formatSort({ column, descending }) {
  return `${descending ? "-" : ""}${column}`;
}
