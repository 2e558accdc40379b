/** The state of all groups, as pure functions over the answers of the server. */

/** Returns the state of a whole answer: {now, revision, version, masterAlive, rows by name, order}. */
export function loaded({ now, revision, version, master_alive, groups }) {
  const rows = new Map(groups.map((row) => [row.name, row]));
  return { now, revision, version, masterAlive: master_alive, rows, order: groups.map(({ name }) => name) };
}

/** Returns the state after an update, which has only changed rows; a row without a trend keeps its trend. */
export function updated(state, { now, revision, master_alive, groups = [], order, removed = [] }) {
  const rows = new Map(state.rows);
  for (const name of removed) rows.delete(name);
  for (const row of groups) rows.set(row.name, { ...row, trend: row.trend ?? rows.get(row.name)?.trend ?? null });
  // After a restart the server sends all groups, and does not know which ones are gone.
  const names = (order ?? [...new Set([...state.order, ...rows.keys()])]).filter((name) => rows.has(name));
  return {
    ...state,
    now,
    revision: revision ?? state.revision,
    masterAlive: master_alive ?? state.masterAlive,
    rows: new Map(names.map((name) => [name, rows.get(name)])),
    order: names,
  };
}

/** Returns the rows in the order of the server: problems first. */
export function rowsOf({ rows, order }) {
  return order.map((name) => rows.get(name));
}

/** Returns the number of groups with a problem. */
export function nProblems(state) {
  return rowsOf(state).filter(({ problem }) => problem !== null).length;
}

/** Returns the rows whose title or name contains all words, ignoring case. */
export function found(rows, words) {
  const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter(({ title, name }) => parts.every((part) => `${title}\n${name}`.toLowerCase().includes(part)));
}

/**
 * Returns the sections of the overview, each {id, title, names}; empty ones are left out.
 *
 * @param rows in the order of the server.
 * @param isPinned takes the name of a group.
 */
export function sectionsOf(rows, isPinned) {
  const withProblem = rows.filter(({ problem }) => problem !== null);
  const others = rows.filter(({ problem }) => problem === null);
  const pinned = others.filter(({ name }) => isPinned(name));
  const rest = others.filter(({ name }) => !isPinned(name));
  const isWhole = rest.length === rows.length;
  return [
    { id: "problems", title: "Needs attention", names: namesOf(withProblem) },
    { id: "pinned", title: "Pinned", names: namesOf(pinned) },
    { id: "others", title: isWhole ? "All groups" : "Other groups", names: namesOf(rest) },
  ].filter(({ names }) => names.length > 0);
}

function namesOf(rows) {
  return rows.map(({ name }) => name);
}
