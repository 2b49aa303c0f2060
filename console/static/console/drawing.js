/** One log line as an element. Text only through textContent, classes only from lists. */
import { pieces } from "./ansi.js";

// The letters of console/lines.py; what was printed plainly, and headings, need no word.
const LEVELS = {
  o: "", e: "stderr", d: "debug", i: "info", w: "warning", r: "error", s: "console", g: "", h: "", x: "", a: "",
};

export function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/**
 * A time of day, or the time since the run began.
 *
 * @param {Date} at
 * @param {{start: ?Date, mode: string}} time
 * @returns {string}
 */
export function clock(at, { start, mode }) {
  if (mode === "relative") {
    const seconds = start ? Math.max(0, (at - start) / 1000) : 0;
    const minutes = Math.floor(seconds / 60);
    return `+${minutes}:${(seconds % 60).toFixed(3).padStart(6, "0")}`;
  }
  return at.toLocaleTimeString([], { hour12: false }) + "." + String(at.getMilliseconds()).padStart(3, "0");
}

/**
 * @param {[number, string, string, string, number?]} line number, time, level, text
 * @param {{start: Date, mode: string}} time how times are shown
 * @returns {HTMLElement}
 */
export function draw([number, at, level, text], time) {
  const line = element("div", `console-line console-level-${level in LEVELS ? level : "o"}`);
  line.id = `L${number}`;
  const link = element("a", "console-line-number", number);
  link.href = `#L${number}`;
  // One stop of the Tab key for all lines: arrow keys go from one to the next.
  link.tabIndex = -1;
  const when = element("time", "console-line-time", clock(new Date(at), time));
  when.dateTime = at;
  line.append(link, when, element("span", "console-line-level", LEVELS[level] || ""));
  const body = element("span", "console-line-text");
  for (const piece of pieces(text)) {
    if (piece.classes.length) body.append(element("span", piece.classes.join(" "), piece.text));
    else body.append(piece.text);
  }
  line.append(body);
  return line;
}
