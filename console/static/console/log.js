/** The log pane of a run: follows the end, goes anywhere, keeps its place; what it shows comes from a source. */
import { Address, hashOf } from "./address.js";
import { ask } from "./ask.js";
import { Choices } from "./choices.js";
import { Finder } from "./finder.js";
import { Folds } from "./folds.js";
import { Headings } from "./headings.js";
import { Keys } from "./keys.js";
import { Lines, MOST_LINES } from "./lines.js";
import { Reading } from "./reading.js";
import { Room } from "./room.js";
import { Selection } from "./selection.js";
import { Signs } from "./signs.js";
import { Source } from "./source.js";

// More lines are asked for when so many pixels of them are left.
const NEAR = 1500;
// A place without lines in the page is filled when nobody has scrolled for so many milliseconds.
const STILL = 80;

class Pane {
  constructor(root) {
    this.root = root;
    const find = (name) => root.querySelector(`[data-log-${name}]`);
    this.pane = find("pane");
    this.signs = new Signs(root);
    this.following = root.dataset.active === "1";
    this.unseen = 0;
    this.over = false;
    this.folds = new Folds();
    this.lines = new Lines(find("lines"), (line, number) => this.#decorate(line, number), () => this.finder?.marks.clear());
    this.source = new Source({ page: root.dataset.url, stream: root.dataset.streamUrl }, {
      wants: () => this.#wants(),
      heard: (page) => this.#heard(page),
      take: (page) => this.#take(page),
      changed: () => this.#show(),
    });
    this.reading = new Reading({
      lines: this.lines, folds: this.folds, pane: this.pane, room: new Room(this.pane, find("above"), find("below")),
      get: (query) => this.source.get(query), level: () => this.level, isFollowing: () => this.following,
    });
    this.choices = new Choices(root, this);
    this.finder = new Finder(root, this);
    this.headings = new Headings(root, this.folds, () => this.last, (first) => this.#refold(first));
    this.selection = new Selection(root, this.lines, {
      chosen: () => this.following && this.follow(false),
      said: (text) => this.say(text),
    });
    this.address = new Address(root, (range, options) => this.goTo(range.first, range.last, options));
    new Keys(root, {
      f: () => this.follow(!this.following),
      w: () => this.choices.wrap(),
      t: () => this.choices.nextTime(),
      "/": () => this.finder.focus(),
      n: () => this.finder.step(1),
      N: () => this.finder.step(-1),
      g: () => this.address.focus(),
    });
  }

  get last() {
    return this.reading.last;
  }

  get level() {
    return this.choices.level;
  }

  async begin() {
    this.root.classList.add("console-log-live");
    this.pane.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Only a person's hand ends following: text that wraps anew moves the scroll position, too.
    ["wheel", "touchmove", "keydown", "pointerdown"].forEach((name) =>
      this.pane.addEventListener(name, () => { this.touched = performance.now(); }, { passive: true }));
    this.pane.addEventListener("pointerdown", () => { this.held = true; });
    window.addEventListener("pointerup", () => { this.held = false; });
    new ResizeObserver(() => this.following && this.#toEnd()).observe(this.pane);
    this.signs.newLines.addEventListener("click", () => this.follow(true));
    if (!await this.address.follow()) await this.#tail();
    this.begun = true;
    this.source.start();
    this.#outline();
    if (this.finder.field.value) this.finder.search({ jump: !window.location.hash });
  }

  #decorate(line, number) {
    this.selection?.decorate(line, number);
    this.headings?.decorate(line, number);
    this.finder?.marks.draw(line);
  }

  /** Show what is searched for in the lines that are in the page. */
  remark() {
    this.finder.marks.clear();
    this.lines.refresh();
  }

  /** How far the log is, and its run. */
  #heard(page) {
    this.reading.last = Math.max(this.last, page.last);
    this.over = page.over;
    if (page.status === this.root.dataset.status) return;
    this.root.dataset.status = page.status;
    document.dispatchEvent(new CustomEvent("console:refresh"));
  }

  /** What the source is to bring: one who reads far above the end is told how many lines came, and gets them there. */
  #wants() {
    // Not before it is known where one begins to read.
    if (!this.begun) return null;
    const { limit, caughtUp, high } = this.reading;
    const room = this.following || this.lines.count < MOST_LINES;
    const some = room && (this.following || this.wasCaughtUp !== false) ? limit : 0;
    if (this.over && (caughtUp || !some)) return null;
    return { after: high, limit: some };
  }

  /** No more lines will come, and none are on their way. */
  get ended() {
    return this.over && (this.reading.caughtUp || !this.following);
  }

  async #tail() {
    if (!await this.reading.tail()) return;
    this.#toEnd();
    this.#look();
  }

  #take(page) {
    const { came, changed } = this.reading.take(page);
    changed.forEach((group) => this.headings.refresh(this.lines.get(group.first), group.first));
    if (this.following && came) this.#toEnd();
    else this.unseen += came;
    if (this.finder.marks.isHeavy) this.remark();
    if (this.folds.isStale && page.lines.length) this.#outline();
    if (!this.following) this.reading.arrange();
    this.#showNew();
  }

  /** Ask where the groups begin and end; soon again if it has changed, but not all the time. */
  async #outline() {
    if (this.outlining) return;
    this.outlining = true;
    try {
      const outline = await (await ask(this.root.dataset.groupsUrl)).json();
      this.folds.set(outline);
      this.headings.show(outline.more);
      if (outline.groups.length) this.lines.refresh();
    } catch {
      // The log is there without its groups.
    }
    window.setTimeout(() => {
      this.outlining = false;
      if (this.folds.isStale && !this.over) this.#outline();
    }, 2000);
  }

  #show() {
    this.signs.chip(this.source.state, this.ended, this.last);
  }

  say(text) {
    this.signs.say(text);
  }

  #toEnd() {
    this.pane.scrollTop = this.pane.scrollHeight;
    this.top = this.pane.scrollTop;
    this.unseen = 0;
    this.#showNew();
    this.#showPlace();
  }

  #showNew() {
    const beyond = Math.max(0, this.last - this.reading.high);
    this.signs.news(this.following ? 0 : this.unseen + beyond, this.over);
    this.root.dataset.lines = this.lines.count;
  }

  #showPlace() {
    const top = this.lines.at(this.pane.getBoundingClientRect().top + 2);
    this.signs.place(this.reading.lost() ?? top?.id.slice(1), this.last);
  }

  #scrolled() {
    // Without lines every place is the end.
    if (!this.begun) return;
    const { scrollTop, scrollHeight, clientHeight } = this.pane;
    const atEnd = scrollHeight - scrollTop - clientHeight < 4;
    const byHand = this.held || performance.now() - (this.touched ?? -Infinity) < 1000;
    const up = byHand && scrollTop < (this.top ?? 0) - 2;
    this.top = scrollTop;
    if (up && !atEnd && this.following) this.follow(false);
    if (atEnd && this.reading.caughtUp) {
      this.unseen = 0;
      this.#showNew();
      if (!this.ended && !this.following && !up) this.follow(true);
    }
    this.frame ??= window.requestAnimationFrame(() => { this.frame = null; this.#showPlace(); this.#look(); });
  }

  /** See to it that there are lines where one looks. */
  async #look() {
    window.clearTimeout(this.jump);
    if (this.going) return;
    if (this.reading.lost() !== null) {
      this.jump = window.setTimeout(() => this.#fill(), STILL);
      return;
    }
    const side = this.reading.shortOf(NEAR);
    if (side && await this.reading.more(side)) {
      if (!this.following) this.#moved();
      this.#look();
    }
  }

  /** Other lines are in the page: what is wanted next is different now. */
  #moved() {
    this.wasCaughtUp = this.reading.caughtUp;
    this.source.wake();
    this.#showNew();
  }

  /** One has scrolled to where no lines are in the page. */
  async #fill() {
    const number = this.reading.lost();
    const top = this.pane.scrollTop;
    // Who has scrolled on meanwhile is not brought back: then there is a next time.
    const isThere = () => Math.abs(this.pane.scrollTop - top) < 2;
    if (number === null || !await this.reading.reset({ around: number }, isThere)) return;
    this.#moved();
    await this.#put(this.lines.near(number), 0);
  }

  /** Have a line stand so many pixels below the top of the pane. */
  async #put(line, offset) {
    if (!line) return;
    this.going = line;
    // Blocks get their real height only once they are near: look where the line is then, too. But not when somebody
    // has scrolled away, or wants another line.
    for (let frame = 0; frame < 4 && this.going === line && !(frame && this.reading.lost() !== null); frame += 1) {
      this.pane.scrollTop += line.getBoundingClientRect().top - this.pane.getBoundingClientRect().top - offset;
      this.top = this.pane.scrollTop;
      await new Promise((resolve) => { window.requestAnimationFrame(resolve); });
    }
    if (this.going !== line) return;
    this.going = null;
    this.#showNew();
    this.#showPlace();
    this.#look();
  }

  /** Follow the end of the log, or stay where one is. */
  async follow(on) {
    this.following = on;
    this.wasCaughtUp = on || this.reading.caughtUp;
    this.choices.showFollow(on);
    if (on && this.last - this.reading.high > this.reading.limit) await this.#tail();
    this.reading.arrange();
    if (on) this.#toEnd();
    this.source.wake();
  }

  /** Only lines of other levels are wanted now: stay where one is among them. */
  async refilter() {
    if (this.finder.text) this.finder.search({ jump: false });
    const at = this.lines.at(this.pane.getBoundingClientRect().top + 2);
    if (this.following || !at) await this.#tail();
    else {
      const number = Number(at.id.slice(1));
      await this.reading.reset({ around: number });
      this.#moved();
      await this.#put(this.lines.near(number), 0);
    }
    this.root.dataset.level = this.level;
    this.say(this.lines.count ? "" : "No line of that level.");
  }

  /** A group was folded or unfolded (null: all of them): its heading stays where it is. */
  async #refold(first) {
    const line = first === null ? this.lines.at(this.pane.getBoundingClientRect().top + 2) : this.lines.get(first);
    if (this.following || !line) {
      await this.#tail();
      return;
    }
    const number = Number(line.id.slice(1));
    const offset = line.getBoundingClientRect().top - this.pane.getBoundingClientRect().top;
    const focused = line.contains(document.activeElement);
    await this.reading.reset({ around: number });
    this.#moved();
    await this.#put(this.lines.near(number), offset);
    if (focused) this.lines.get(number)?.querySelector("button")?.focus({ preventScroll: true });
  }

  /** Bring a line into view, from wherever it is in the log, and mark it or the range that it begins. */
  async goTo(number, last = number, { address = false } = {}) {
    await this.follow(false);
    const hidden = this.folds.reveal(number);
    if (hidden) this.headings.show();
    const there = { around: number };
    // Somebody who wanted something else meanwhile gets that.
    if (!hidden && this.lines.get(number)) this.reading.stay();
    else if (!await this.reading.reset(there)) return;
    if (!this.lines.get(number) && this.level !== "all") {
      this.choices.showAll();
      if (!await this.reading.reset(there)) return;
    }
    this.#moved();
    const line = this.lines.near(number);
    if (!line || number > this.last) {
      this.say(`There is no line ${number}: the log has ${this.last}.`);
      if (!line || number > this.last + 1) return;
    }
    this.selection.set({ first: number, last });
    if (address) window.history.replaceState(null, "", hashOf({ first: number, last }));
    this.pane.scrollIntoView({ block: "nearest" });
    await this.#put(line, Math.max(0, this.pane.clientHeight / 2 - 20));
  }
}

const root = document.querySelector("[data-log]");
if (root && !root.hasAttribute("data-log-none")) new Pane(root).begin();
