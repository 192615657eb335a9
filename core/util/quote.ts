/**
 * Shows untrusted text in messages.
 *
 * @module
 */

/** The maximum number of characters that are shown. */
const LONGEST = 100;

/** Characters that JSON does not escape, but that a terminal or a log viewer obeys or hides. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Quotes a text for a message. It is cut to 100 characters. Control characters, and characters that
 * change the direction of writing, are escaped.
 */
export function quote(text: string): string {
  return JSON.stringify(cut(text, LONGEST)).replace(UNSEEN, escapeOf);
}

/**
 * Shortens a text that came from elsewhere, such as a reason, and escapes the same characters as
 * `quote()`.
 */
export function shorten(text: string, longest: number): string {
  return cut(text, longest).replace(UNSEEN, escapeOf);
}

function cut(text: string, longest: number): string {
  if (text.length <= longest) return text;
  // The cut must not split a pair of surrogates.
  return `${text.slice(0, longest).replace(/[\ud800-\udbff]$/, "")}…`;
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0)!.toString(16);
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
}
