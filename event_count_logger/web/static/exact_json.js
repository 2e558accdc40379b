/** A JSON parser for counts of any size. */

const LONG_INTEGER = /\d{16}/;
const INTEGER = /^-?\d+$/;

/**
 * Parses JSON like JSON.parse, but integers above 2^53 become BigInt with all their digits.
 *
 * Browsers before Chromium 114, Firefox 135 and Safari 18.4 round them: JSON.parse does not pass the source text of a
 * number there. See https://github.com/tc39/proposal-json-parse-with-source
 */
export function parseExactly(text) {
  return LONG_INTEGER.test(text) ? JSON.parse(text, asWritten) : JSON.parse(text);
}

function asWritten(key, value, context) {
  const isRounded = typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return isRounded && INTEGER.test(context?.source) ? BigInt(context.source) : value;
}
