/** Values that are made at their first use, because that takes milliseconds. Until then, the first view is shown. */

/** Returns a function that calls `make` once, and returns its result each time. */
export function once(make) {
  let made = null;
  return () => (made ??= make());
}
