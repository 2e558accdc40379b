/** Arithmetic on counts, which are numbers, or BigInt above 2^53. */

/** Returns the exact sum of counts; null adds nothing. */
export function sumOf(counts) {
  let sum = 0;
  for (const count of counts) if (count) sum = add(sum, count);
  return sum;
}

/** Returns the exact sum of two counts. */
export function add(a, b) {
  const sum = Number(a) + Number(b);
  return Number.isSafeInteger(sum) ? sum : BigInt(a) + BigInt(b);
}
