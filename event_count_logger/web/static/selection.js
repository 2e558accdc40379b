/** Filter and order of the rows, as pure functions. */

/** Returns the rows whose label or ID contains all words of `filter`, ignoring case. */
export function filtered(rows, filter) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return words.length ? rows.filter((row) => words.every((word) => row.search.includes(word))) : rows;
}

/** Returns the rows sorted by one column: null last, equal values in alphabetical order. */
export function sorted(rows, { column, descending }) {
  const key = column === "event" ? "rank" : column;
  const sign = descending ? -1 : 1;
  return rows.toSorted((a, b) => sign * compare(a[key], b[key], descending) || a.rank - b.rank);
}

/** Returns the order of a table whose counts are those of a range: its sums take the place of the last interval's. */
export function orderIn(isRange, sort) {
  const [shown, hidden] = isRange ? ["sum", ["last", "current"]] : ["last", ["sum"]];
  return hidden.includes(sort.column) ? { ...sort, column: shown } : sort;
}

/** Returns an order as the API spells it: rates are in the order of the counts, and changes need a comparison. */
export function spelledOrder({ column, descending }, { isRange, isCompared }) {
  const isCount = column === "rate" || (column === "change" && !isCompared);
  const name = isCount ? (isRange ? "sum" : "last") : column;
  return `${descending ? "-" : ""}${name}`;
}

function compare(a, b, nothingIsLess) {
  if (a === null || b === null) return (nothingIsLess ? -1 : 1) * ((a === null) - (b === null));
  return a < b ? -1 : a > b ? 1 : 0;
}
