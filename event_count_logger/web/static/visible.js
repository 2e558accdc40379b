/** Names with their invisible characters made visible, so that two names that look alike are alike. */

import { once } from "./once.js";

/** Most combining marks on one character. More of them would cover other lines. */
const MARKS = 6;

/** Only printable ASCII, without a space at either end: by far the most names. */
const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;

/**
 * Sequences in which an invisible character has its usual effect (`usual`), and all other invisible characters.
 *
 * Usual are emoji sequences (joiners, variation selectors, tags of flags), joiners between letters of scripts that
 * write with them (Persian, Hindi), and variants of Han and Mongolian letters. Invisible are controls, line ends,
 * ignorable code points (all bidi controls and zero-width characters are such), blank letters, unusual spaces.
 */
const INVISIBLE = once(() => {
  const parts = [
    String.raw`(?<usual>\p{RGI_Emoji}|\p{Extended_Pictographic}[\uFE0E\uFE0F]`,
    String.raw`|(?<=\p{Script=Han})[\u{E0100}-\u{E01EF}]|(?<=\p{Script=Mongolian})[\u180B-\u180D\u180F]`,
    String.raw`|(?<=[JOINING&&[\p{L}\p{M}]])[\u200C\u200D](?=[JOINING&&\p{L}]))`,
    String.raw`|[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}\u2800\uFFF9-\uFFFB]|[\p{Zs}--[ \u3000]]`,
    String.raw`|^ +| +$`,
  ];
  return new RegExp(parts.join("").replaceAll("JOINING", joiningScripts()), "gv");
});

const LONE_MARK = /(^|[\s⟩])(?=\p{M})/gu;
const FURTHER_MARKS = new RegExp(String.raw`(\p{M}{${MARKS}})(\p{M}+)`, "gu");

/**
 * Returns a name with each invisible character as its code point, such as `⟨U+202E⟩`.
 *
 * These are controls, overrides of the direction, zero-width characters, unusual spaces, and spaces at either end.
 * Keeps text in Arabic or Hebrew, and ordinary emoji. A combining mark without a letter gets a dotted circle.
 */
export function visible(text) {
  if (PLAIN.test(text)) return text;
  return text
    .replace(INVISIBLE(), (found, ...rest) => (rest.at(-1).usual === undefined ? codesOf(found) : found))
    .replace(LONE_MARK, "$1◌")
    .replace(FURTHER_MARKS, (_, first, further) => first + codesOf(further));
}

function codesOf(text) {
  return Array.from(text, (character) => `⟨U+${hexOf(character)}⟩`).join("");
}

function hexOf(character) {
  return character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
}

function joiningScripts() {
  const scripts = "Arab Syrc Nkoo Mong Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Khmr Mymr Tibt";
  return `[${scripts.split(" ").map((script) => String.raw`\p{scx=${script}}`).join("")}]`;
}
