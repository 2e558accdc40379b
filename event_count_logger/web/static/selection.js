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

function compare(a, b, nothingIsLess) {
  if (a === null || b === null) return (nothingIsLess ? -1 : 1) * ((a === null) - (b === null));
  return a < b ? -1 : a > b ? 1 : 0;
}
