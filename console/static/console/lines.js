/** Draws log lines: blocks of fifty, so that the browser skips what is not on the screen. */
import { pieces } from "./ansi.js";

export const BLOCK = 50;
export const MOST_LINES = 50000;
// The letters of console/lines.py; what was printed plainly needs no word.
const LEVELS = { e: "stderr", d: "debug", i: "info", w: "warning", r: "error", s: "console" };

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function clock(at, start, mode) {
  if (mode === "relative") {
    const seconds = Math.max(0, (at - start) / 1000);
    const minutes = Math.floor(seconds / 60);
    return `+${minutes}:${(seconds % 60).toFixed(3).padStart(6, "0")}`;
  }
  return at.toLocaleTimeString([], { hour12: false }) + "." + String(at.getMilliseconds()).padStart(3, "0");
}

/** The lines in the page: a window on the log without holes of our own making. */
export class Lines {
  /** @param {HTMLElement} box where the blocks go */
  constructor(box) {
    this.box = box;
    this.clear();
  }

  clear() {
    this.box.replaceChildren();
    this.count = 0;
    this.first = null;
  }

  /** @param {{start: Date, mode: string}} time how times are shown: since `start`, or absolute */
  setTime(time) {
    this.time = time;
    this.box.querySelectorAll("time").forEach((each) => {
      each.textContent = clock(new Date(each.dateTime), time.start, time.mode);
    });
  }

  #draw([number, at, level, text]) {
    const line = element("div", `console-line console-level-${level in LEVELS ? level : "o"}`);
    line.id = `L${number}`;
    const link = element("a", "console-line-number", number);
    link.href = `#L${number}`;
    const time = element("time", "console-line-time", clock(new Date(at), this.time.start, this.time.mode));
    time.dateTime = at;
    line.append(link, time, element("span", "console-line-level", LEVELS[level] || ""));
    const body = element("span", "console-line-text");
    for (const piece of pieces(text)) {
      if (piece.classes.length) body.append(element("span", piece.classes.join(" "), piece.text));
      else body.append(piece.text);
    }
    line.append(body);
    return line;
  }

  #block() {
    return element("div", "console-block");
  }

  append(lines) {
    let block = this.box.lastElementChild;
    if (!block?.classList.contains("console-block")) block = null;
    for (const line of lines) {
      if (!block || block.childElementCount >= BLOCK) {
        block = this.#block();
        this.box.append(block);
      }
      block.append(this.#draw(line));
      this.first ??= line[0];
    }
    this.count += lines.length;
  }

  prepend(lines) {
    if (!lines.length) return;
    const blocks = [];
    for (let from = 0; from < lines.length; from += BLOCK) {
      const block = this.#block();
      block.append(...lines.slice(from, from + BLOCK).map((line) => this.#draw(line)));
      blocks.push(block);
    }
    this.box.prepend(...blocks);
    this.first = lines[0][0];
    this.count += lines.length;
  }

  /** Take blocks off the top until the page holds what it can; gives whether any went. */
  trim() {
    let went = false;
    while (this.count > MOST_LINES && this.box.childElementCount > 1) {
      const block = this.box.firstElementChild;
      this.count -= block.querySelectorAll(".console-line").length;
      block.remove();
      went = true;
    }
    if (went) this.first = Number(this.box.querySelector(".console-line")?.id.slice(1)) || null;
    return went;
  }

  get(number) {
    return document.getElementById(`L${number}`);
  }
}
