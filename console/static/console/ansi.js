/**
 * Colours of terminal text as class names. console/ansi.py does the same for pages without a script.
 *
 * Only classes from this list are ever given out; every other escape sequence is left out of the text. What would
 * change how a line looks without being seen (control characters, overrides of the writing direction) is shown.
 */
const CLASSES = new Map([
  [1, "ansi-bold"], [2, "ansi-faint"], [3, "ansi-italic"], [4, "ansi-underline"], [9, "ansi-strike"],
  ...[30, 90].flatMap((base) =>
    ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"].map((name, index) => [base + index, `ansi-${name}`])),
]);
const COLOURS = new Set([...CLASSES].filter(([code]) => code >= 30).map(([, name]) => name));
const OFF = new Map([
  [22, ["ansi-bold", "ansi-faint"]], [23, ["ansi-italic"]], [24, ["ansi-underline"]], [29, ["ansi-strike"]],
]);
// CSI sequences, OSC sequences (links, titles), and two-character escapes.
// eslint-disable-next-line no-control-regex
const ESCAPE = /\x1b(?:\[([0-9;:]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;

// eslint-disable-next-line no-control-regex
const UNSEEN = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A character that is not seen, as one that is.
 *
 * @param {string} character
 * @returns {string}
 */
function seen(character) {
  const code = character.charCodeAt(0);
  if (code < 32) return String.fromCharCode(0x2400 + code);
  if (code === 127) return "\u2421";
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

function apply(codes, active) {
  const numbers = codes.split(";").map((code) => Number.parseInt(code || "0", 10));
  for (let index = 0; index < numbers.length; index += 1) {
    const code = numbers[index];
    if (code === 0) active.clear();
    // 256 and true colours take arguments; they are skipped, with their arguments.
    else if (code === 38 || code === 48) index += numbers[index + 1] === 5 ? 2 : 4;
    else if (code === 39 || CLASSES.has(code)) {
      if (code >= 30) COLOURS.forEach((name) => active.delete(name));
      if (CLASSES.has(code)) active.add(CLASSES.get(code));
    } else (OFF.get(code) || []).forEach((name) => active.delete(name));
  }
}

/**
 * Cut a line into pieces of one look each.
 *
 * @param {string} line
 * @returns {Array<{text: string, classes: string[]}>}
 */
export function pieces(line) {
  if (!line.includes("\x1b")) return [{ text: line.replace(UNSEEN, seen), classes: [] }];
  const found = [];
  const active = new Set();
  let from = 0;
  const push = (text) => text && found.push({ text: text.replace(UNSEEN, seen), classes: [...active] });
  for (const match of line.matchAll(ESCAPE)) {
    push(line.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") apply(match[1], active);
  }
  push(line.slice(from));
  return found;
}
