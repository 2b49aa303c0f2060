/** The lines in the page: blocks of fifty, so that the browser skips what is not on the screen. */
import { clock, draw, element } from "./drawing.js";

export const BLOCK = 50;
export const MOST_LINES = 50000;
// Lines may be long: the page holds no more text than this, nor a block more than that.
export const MOST_CHARACTERS = 24 * 1024 * 1024;
const BLOCK_CHARACTERS = 32 * 1024;
// What a row of text holds, about; only to guess the height of what was never on the screen.
const ROW = 130;
const LINE_EM = 1.5;

function numberOf(line) {
  return Number(line.id.slice(1));
}

/** A window on the log, without holes of our own making. */
export class Lines {
  /**
   * @param {HTMLElement} box where the blocks go
   * @param {(line: HTMLElement, number: number) => void} decorate called for every line that is drawn
   * @param {() => void} cleared called when all of them went
   */
  constructor(box, decorate = () => {}, cleared = () => {}) {
    Object.assign(this, { box, decorate, cleared });
    this.time = { start: new Date(), mode: "relative" };
    this.weights = new WeakMap();
    this.clear();
  }

  clear() {
    this.box.replaceChildren();
    this.count = 0;
    this.characters = 0;
    this.cleared();
  }

  /** The number of the first line in the page; null when there is none. */
  get first() {
    const line = this.box.querySelector(".console-line");
    return line ? numberOf(line) : null;
  }

  /** The number of the last line in the page; null when there is none. */
  get last() {
    const line = this.box.lastElementChild?.lastElementChild;
    return line?.classList.contains("console-line") ? numberOf(line) : null;
  }

  get(number) {
    return document.getElementById(`L${number}`);
  }

  /** The line of that number, or the nearest one after it, or the last. */
  near(number) {
    const exact = this.get(number);
    if (exact) return exact;
    const blocks = [...this.box.children].filter((block) => block.lastElementChild);
    const block = blocks.find((each) => numberOf(each.lastElementChild) >= number) ?? blocks.at(-1);
    return block ? [...block.children].find((line) => numberOf(line) >= number) ?? block.lastElementChild : null;
  }

  /** The first line of which something is below that height on the screen; null when there is none. */
  at(top) {
    const below = (list) => {
      let [low, high] = [0, list.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (list[middle].getBoundingClientRect().bottom > top) high = middle;
        else low = middle + 1;
      }
      return list[low] ?? null;
    };
    const block = below(this.box.children);
    return block?.firstElementChild ? below(block.children) : null;
  }

  /** @param {{start: Date, mode: string}} time how times are shown: since `start`, or absolute */
  setTime(time) {
    this.time = time;
    this.box.querySelectorAll("time").forEach((each) => {
      each.textContent = clock(new Date(each.dateTime), time);
    });
  }

  /** Have every line, or those between two numbers, decorated again. */
  refresh(first = 0, last = Infinity) {
    this.box.querySelectorAll(".console-line").forEach((line) => {
      const number = numberOf(line);
      if (number >= first && number <= last) this.decorate(line, number);
    });
  }

  #drawn(line) {
    const made = draw(line, this.time);
    this.decorate(made, line[0]);
    return made;
  }

  #weigh(block, line) {
    const weight = this.weights.get(block) ?? { lines: 0, characters: 0, rows: 0 };
    weight.lines += 1;
    weight.characters += line[3].length;
    weight.rows += Math.max(1, Math.ceil(line[3].length / ROW));
    this.weights.set(block, weight);
    this.count += 1;
    this.characters += line[3].length;
    return weight;
  }

  #blocks(lines, current = null) {
    const blocks = [];
    let block = current;
    let weight = block && this.weights.get(block);
    for (const line of lines) {
      if (!block || weight.lines >= BLOCK || weight.characters > BLOCK_CHARACTERS) {
        block = element("div", "console-block");
        blocks.push(block);
      }
      block.append(this.#drawn(line));
      weight = this.#weigh(block, line);
    }
    for (const each of current ? [current, ...blocks] : blocks) {
      each.style.containIntrinsicBlockSize = `auto ${this.weights.get(each).rows * LINE_EM}em`;
    }
    return blocks;
  }

  append(lines) {
    const last = this.box.lastElementChild;
    this.box.append(...this.#blocks(lines, last && this.weights.has(last) ? last : null));
  }

  prepend(lines) {
    this.box.prepend(...this.#blocks(lines));
  }

  get #isFull() {
    return (this.count > MOST_LINES || this.characters > MOST_CHARACTERS) && this.box.childElementCount > 2;
  }

  #trim(side) {
    let went = false;
    while (this.#isFull) {
      const block = this.box[side];
      const weight = this.weights.get(block) ?? { lines: 0, characters: 0 };
      this.count -= weight.lines;
      this.characters -= weight.characters;
      block.remove();
      went = true;
    }
    return went;
  }

  /** Take blocks off the top until the page holds what it can; gives whether any went. */
  trimTop() {
    return this.#trim("firstElementChild");
  }

  /** The same from the bottom. */
  trimBottom() {
    return this.#trim("lastElementChild");
  }
}
