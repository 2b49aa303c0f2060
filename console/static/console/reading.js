/** Which part of the log is in the page, and how it moves: to anywhere, upwards, downwards, along with the news. */
import { Sequence } from "./sequence.js";

const LIMIT = 500;
// So often the same lines are asked for.
const TRIES = 3;
// The letters of console/lines.py that belong to a choice of levels, as in console/logs.py.
const LEVELS = { problems: "ewrx", errors: "rx" };

export class Reading {
  #turn = 0;
  #busy = { before: false, after: false };

  /**
   * @param {Object} parts `lines`, `folds`, `room`, `pane` (what scrolls); `get(query)` asks for a page of the log;
   *   `level()` gives one of all, problems, errors; `isFollowing()` tells whether the end is wanted
   */
  constructor(parts) {
    Object.assign(this, parts);
    this.low = 1;
    this.sequence = new Sequence();
    this.last = 0;
  }

  /** All that is wanted from `low` to `high` is in the page. */
  get high() {
    return this.sequence.next - 1;
  }

  get caughtUp() {
    return this.high >= this.last;
  }

  get limit() {
    return LIMIT;
  }

  #query(place) {
    const query = { ...place };
    if (!place.tail) query.limit = LIMIT;
    if (this.level() !== "all") query.level = this.level();
    const skip = this.folds.skip(place.around ?? place.before ?? place.after ?? this.last);
    if (skip) query.skip = skip;
    return query;
  }

  #shown(lines) {
    const letters = LEVELS[this.level()];
    return lines.filter(([number, , level]) => (!letters || letters.includes(level)) && !this.folds.hides(number));
  }

  /**
   * Have other lines in the page: `around` or `after` a number, or the `tail`. False: they could not be got, or are
   * not wanted any more.
   */
  async reset(place, isWanted = () => true) {
    this.#turn += 1;
    const turn = this.#turn;
    const page = await this.get(this.#query(place));
    if (!page || turn !== this.#turn || !isWanted()) return false;
    this.lines.clear();
    this.low = page.start;
    this.sequence = new Sequence(page.next + 1);
    this.lines.append(this.#shown(page.lines));
    if (page.next > this.folds.through) this.folds.isStale = true;
    this.arrange();
    return true;
  }

  /** What is in the page is wanted: lines that were asked for before do not come in their place any more. */
  stay() {
    this.#turn += 1;
  }

  tail() {
    return this.reset({ tail: LIMIT });
  }

  /** More lines on one side: `before` or `after` those in the page. Gives whether any number was passed. */
  async more(side) {
    if (this.#busy[side] || (side === "before" ? this.low <= 1 : this.caughtUp)) return false;
    this.#busy[side] = true;
    const turn = this.#turn;
    let came = false;
    for (let tries = 0; tries < TRIES && !came; tries += 1) {
      const from = side === "before" ? this.low : this.high;
      const page = await this.get(this.#query({ [side]: from }));
      if (!page || turn !== this.#turn) break;
      // An answer to another question would leave a hole, or the lines out of order; the lines are still wanted.
      came = side === "before" ? this.#up(page, from) : this.#down(page, from);
    }
    this.#busy[side] = false;
    return came;
  }

  #up(page, from) {
    if (this.low !== from || page.next !== from - 1) return false;
    // At the very top the browser does not keep what is seen where it is.
    if (this.pane.scrollTop === 0) this.pane.scrollTop = 1;
    this.lines.prepend(this.#shown(page.lines));
    this.low = page.start;
    if (this.lines.trimBottom()) this.sequence = new Sequence(this.lines.last + 1);
    this.arrange();
    return true;
  }

  #down(page, from) {
    if (this.high !== from || page.start !== from + 1) return false;
    this.sequence = new Sequence(page.next + 1);
    this.#append(this.#shown(page.lines));
    return true;
  }

  #append(lines) {
    this.lines.append(lines);
    if (this.lines.trimTop()) this.low = this.lines.first;
    this.arrange();
  }

  /**
   * News: what continues the lines in the page is added to them.
   *
   * @returns {{came: number, changed: Array}} how many of them are to be seen; groups that look different now
   */
  take(page) {
    const { fresh } = this.sequence.take(page.lines);
    if (!fresh.length) return { came: 0, changed: [] };
    const changed = fresh.flatMap((line) => this.folds.add(line));
    const shown = this.#shown(fresh);
    this.#append(shown);
    return { came: shown.length, changed };
  }

  /** Make room for the lines on either side. */
  arrange() {
    const { folds } = this;
    this.room.measure(this.lines.box.lastElementChild);
    this.room.set({
      before: folds.rank(this.low - 1),
      after: this.isFollowing() ? 0 : folds.rank(this.last) - folds.rank(Math.min(this.high, this.last)),
      known: this.level() === "all",
    });
  }

  /** Where a pane that shows none of the lines in the page stands; null: it shows some. */
  lost() {
    const { above, below, height } = this.room.margins(this.lines.box);
    if (!this.room.scale) return null;
    if (above < -height) return this.folds.unrank(Math.max(1, Math.round(this.room.linesBefore())));
    if (below < -height) {
      const rank = this.folds.rank(this.high) + Math.round(this.room.linesBelow());
      return Math.min(this.last, this.folds.unrank(rank));
    }
    return null;
  }

  /** The side on which lines will soon be missing; empty: none. */
  shortOf(pixels) {
    const { above, below } = this.room.margins(this.lines.box);
    if (above < pixels && this.low > 1) return "before";
    return below < pixels && !this.caughtUp && !this.isFollowing() ? "after" : "";
  }
}
