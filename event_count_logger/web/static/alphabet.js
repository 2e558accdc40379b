/** Alphabetical order of names, in which `e9` comes before `e10`. */

import { once } from "./once.js";

const COLLATOR = once(() => new Intl.Collator(undefined, { numeric: true }));

/** Compares two names for `sort`. */
export function byName(a, b) {
  return COLLATOR().compare(a, b);
}
