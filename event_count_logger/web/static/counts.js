/** Arithmetic on counts, which are numbers, or BigInt where they are too long for one. */

/** The exact sum of some counts; those that are null add nothing. */
export function sumOf(counts) {
  let sum = 0;
  for (const count of counts) if (count) sum = add(sum, count);
  return sum;
}

/** The exact sum of two counts. */
export function add(a, b) {
  const sum = Number(a) + Number(b);
  return Number.isSafeInteger(sum) ? sum : BigInt(a) + BigInt(b);
}
