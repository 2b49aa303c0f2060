/** The groups of a log, and which of them are folded to their headings. */

const MARKS = "gahxr";
const ENDS = "hx";
const ERRORS = "rx";

export class Folds {
  constructor() {
    /** @type {Array<{first: number, last: ?number, title: string, depth: number, failed: boolean}>} */
    this.groups = [];
    this.folded = new Set();
    this.through = 0;
    // What was heard live, in case an outline that comes later was made before.
    this.heard = [];
    /** The outline should be asked for: not known yet, lines were passed over, or another attempt has begun. */
    this.isStale = true;
    this.#arrange();
  }

  /**
   * The outline as the server has it; what live lines told meanwhile comes on top of it again.
   *
   * @param {{groups: Array<[number, ?number, string, number, boolean, boolean]>, through: number}} outline
   */
  set(outline) {
    this.groups = outline.groups.map(([first, last, title, depth, failed, isAttempt]) =>
      ({ first, last, title, depth, failed, isAttempt }));
    this.through = outline.through;
    this.isStale = false;
    const heard = this.heard.filter(([number]) => number > this.through);
    this.heard = [];
    heard.forEach((line) => this.add(line));
    this.#arrange();
  }

  /**
   * Hear of a line that came after the outline.
   *
   * @param {[number, string, string, string, number?]} line
   * @returns {Array<Object>} the groups that are different now
   */
  add(line) {
    const [number, , level, text, last = number] = line;
    if (last <= this.through) return [];
    // Lines in between were never here: only the server knows what they began and ended.
    if (number > this.through + 1) this.isStale = true;
    this.through = last;
    if (MARKS.includes(level)) this.heard.push(line);
    const open = this.groups.filter((group) => group.last === null);
    const changed = new Set();
    if (level === "a") this.isStale = true;
    if (level === "g") {
      this.groups.push({ first: number, last: null, title: text, depth: open.length, failed: false, isAttempt: false });
    }
    if (ERRORS.includes(level)) open.forEach((group) => { group.failed = true; changed.add(group); });
    // The attempt itself has no end line of its own.
    const innermost = ENDS.includes(level) && open.filter((group) => !group.isAttempt).at(-1);
    if (innermost) {
      innermost.last = number;
      changed.add(innermost);
    }
    // A folded group that is still open takes the line in.
    open.filter((group) => this.folded.has(group.first)).forEach((group) => changed.add(group));
    if (changed.size || level === "g") this.#arrange();
    return [...changed];
  }

  /** What is hidden, as ranges that do not overlap, and how many lines are hidden before each. */
  #arrange() {
    // The first attempt may begin with a group's heading; the outer one counts.
    this.byFirst = new Map(this.groups.slice().reverse().map((group) => [group.first, group]));
    this.hidden = [];
    for (const group of this.groups) {
      if (!this.folded.has(group.first) || group.last === group.first) continue;
      const end = group.last ?? Infinity;
      const before = this.hidden.at(-1);
      if (before && before[1] >= end) continue;
      this.hidden.push([group.first + 1, end]);
    }
  }

  /** @returns {?Object} the group that begins with that line */
  at(number) {
    return this.byFirst.get(number) ?? null;
  }

  /** How deep a line lies in groups; the heading counts to the one outside. */
  depth(number) {
    let depth = 0;
    for (const group of this.groups) {
      if (group.first >= number) break;
      if ((group.last ?? Infinity) >= number) depth = group.depth + 1;
    }
    return depth;
  }

  hides(number) {
    return this.hidden.some(([first, last]) => number >= first && number <= last);
  }

  /** Fold or unfold; gives whether it is folded now. */
  toggle(first) {
    if (!this.folded.delete(first)) this.folded.add(first);
    this.#arrange();
    return this.folded.has(first);
  }

  /** Unfold whatever hides a line; gives whether anything did. */
  reveal(number) {
    const hiding = this.groups.filter((group) =>
      this.folded.has(group.first) && number > group.first && number <= (group.last ?? Infinity));
    hiding.forEach((group) => this.folded.delete(group.first));
    if (hiding.length) this.#arrange();
    return hiding.length > 0;
  }

  foldAll(on) {
    this.folded = new Set(on ? this.groups.map((group) => group.first) : []);
    this.#arrange();
  }

  /** The hidden ranges nearest to a line, at most so many, as the server takes them. */
  skip(near, most = 200) {
    const distance = ([first, last]) => Math.max(first - near, near - last, 0);
    return this.hidden.slice().sort((one, other) => distance(one) - distance(other)).slice(0, most)
      .map(([first, last]) => `${first}-${Number.isFinite(last) ? last : "999999999999999"}`).join(",");
  }

  /** How many lines up to this one are shown. */
  rank(number) {
    let rank = number;
    for (const [first, last] of this.hidden) {
      if (first > number) break;
      rank -= Math.min(last, number) - first + 1;
    }
    return rank;
  }

  /** The line that is shown as the one of that rank. */
  unrank(rank) {
    let number = rank;
    for (const [first, last] of this.hidden) {
      if (first > number) break;
      if (last === Infinity) return Math.min(number, first - 1);
      number += last - first + 1;
    }
    return number;
  }
}
