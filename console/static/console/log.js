/** The log pane of a run: asks for lines, keeps its place, searches. */
import { Refused, SignedOut, ask } from "./ask.js";
import { Lines, MOST_LINES } from "./lines.js";
import { Pace, Sequence } from "./sequence.js";
import { Choices } from "./choices.js";
import { Finder } from "./finder.js";

const LIMIT = 500;
const CHIPS = {
  live: ["live", "Live"],
  polling: ["polling", "Polling"],
  reconnecting: ["reconnecting", "Reconnecting…"],
  ended: ["ended", "Ended"],
  out: ["reconnecting", "Signed out: reload the page to log in"],
  refused: ["reconnecting", "The server refused: reload the page"],
};

class Pane {
  constructor(root) {
    this.root = root;
    this.url = root.dataset.url;
    this.pane = root.querySelector("[data-log-pane]");
    this.status = root.querySelector("[data-log-status]");
    this.chip = root.querySelector("[data-log-chip]");
    this.newLines = root.querySelector("[data-log-new]");
    this.earlier = root.querySelector("[data-log-earlier]");
    this.lines = new Lines(root.querySelector("[data-log-lines]"));
    this.sequence = new Sequence();
    this.pace = new Pace();
    this.following = root.dataset.active === "1";
    this.unseen = 0;
    this.last = 0;
    this.first = 1;
    this.over = false;
    this.etags = new Map();
    this.timer = 0;
    this.generation = 0;
    this.choices = new Choices(root, this);
    this.finder = new Finder(root, this);
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
    this.newLines.addEventListener("click", () => this.follow(true));
    this.earlier.addEventListener("click", () => this.loadEarlier());
    document.addEventListener("visibilitychange", () => this.#plan(document.hidden ? this.pace.hidden : 0));
    window.addEventListener("hashchange", () => this.#goToHash());
    const wanted = this.#hash();
    if (wanted) await this.goTo(wanted);
    else await this.#tail();
    this.#plan(this.pace.delay);
  }

  #hash() {
    return Number((/^#L(\d+)$/.exec(window.location.hash) || [])[1]) || 0;
  }

  #goToHash() {
    const wanted = this.#hash();
    if (wanted) this.goTo(wanted);
  }

  /** One question about the log; the answer's lines are not applied here. Null: nothing new, or it failed. */
  async #get(query) {
    const url = `${this.url}?${new URLSearchParams(query)}`;
    try {
      const answer = await ask(url, { etag: this.etags.get(url) });
      this.failed = false;
      if (answer.status === 304) return null;
      this.etags.clear();
      this.etags.set(url, answer.etag);
      const page = await answer.json();
      this.last = Math.max(this.last, page.last);
      this.first = page.first;
      if (page.status !== this.root.dataset.status) {
        this.root.dataset.status = page.status;
        document.dispatchEvent(new CustomEvent("console:refresh"));
      }
      this.over = page.over;
      return page;
    } catch (error) {
      this.failed = true;
      if (error instanceof SignedOut) this.stopped = "out";
      else if (error instanceof Refused && error.status < 500) this.stopped = "refused";
      return null;
    }
  }

  /** No more lines will come, and none are on their way. */
  get ended() {
    return this.over && (this.caughtUp || !this.following);
  }

  get caughtUp() {
    return this.sequence.next > this.last;
  }

  async #reset(query, next) {
    this.generation += 1;
    this.etags.clear();
    const page = await this.#get(query);
    if (!page) return;
    this.lines.clear();
    this.sequence = new Sequence(page.lines.length ? page.lines[0][0] : next);
    this.#apply(page);
    this.#showEarlier();
  }

  async #tail() {
    await this.#reset({ tail: LIMIT }, 1);
    if (this.following) this.#toEnd();
    else if (this.root.dataset.active !== "1" && this.ended) this.pane.scrollTop = this.pane.scrollHeight;
  }

  #apply(page) {
    const { fresh } = this.sequence.take(page.lines);
    if (fresh.length) this.lines.append(fresh);
    if (this.following) {
      if (this.lines.trim()) this.#showEarlier();
      if (fresh.length) this.#toEnd();
    } else if (fresh.length) {
      this.unseen += fresh.length;
    }
    this.#showNew();
    return fresh.length > 0;
  }

  async #poll() {
    const mine = this.generation;
    const after = this.sequence.next - 1;
    // One who reads far above the end is told how many lines came, and gets them when he goes there.
    const wanted = this.following || this.wasCaughtUp !== false ? LIMIT : 0;
    const room = this.following || this.lines.count < MOST_LINES;
    const page = await this.#get({ after, limit: room ? wanted : 0 });
    if (mine !== this.generation) return this.#plan(0);
    let news = false;
    if (page && page.lines.length) news = this.#apply(page);
    if (page) this.#showNew();
    const delay = this.pace.after(news);
    this.#show();
    if (this.stopped || (this.over && (this.caughtUp || !wanted || !room))) return undefined;
    return this.#plan(news && !this.caughtUp ? 0 : delay);
  }

  #plan(delay) {
    window.clearTimeout(this.timer);
    if (this.stopped) return;
    const hidden = document.hidden ? this.pace.hidden : delay;
    this.timer = window.setTimeout(() => this.#poll(), hidden);
  }

  #show() {
    const idle = this.pace.delay > 1000;
    const state = this.stopped || (this.failed ? "reconnecting" : this.ended ? "ended" : idle ? "polling" : "live");
    const [name, text] = CHIPS[state];
    if (this.chip.dataset.state === name && this.chip.textContent === text) return;
    this.chip.dataset.state = name;
    this.chip.textContent = text;
    if (name !== "live" && name !== "polling") this.say(name === "ended" ? `Run ${this.root.dataset.status}. The log has ended, ${this.last} lines.` : text);
  }

  say(text) {
    this.status.textContent = text;
  }

  #toEnd() {
    this.pane.scrollTop = this.pane.scrollHeight;
    this.top = this.pane.scrollTop;
    this.unseen = 0;
    this.#showNew();
  }

  #showNew() {
    const beyond = Math.max(0, this.last - this.sequence.next + 1);
    const count = this.following ? 0 : this.unseen + beyond;
    this.newLines.hidden = count === 0;
    this.newLines.textContent = `${count.toLocaleString()} ${this.over ? "more" : "new"} line${count === 1 ? "" : "s"} ↓`;
    this.root.dataset.lines = this.lines.count;
  }

  #showEarlier() {
    this.earlier.hidden = !this.lines.first || this.lines.first <= this.first;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.pane;
    const atEnd = scrollHeight - scrollTop - clientHeight < 4;
    const byHand = this.held || performance.now() - (this.touched ?? -Infinity) < 1000;
    const up = byHand && scrollTop < (this.top ?? 0) - 2;
    this.top = scrollTop;
    if (up && !atEnd && this.following) this.follow(false);
    if (atEnd && this.caughtUp) {
      this.unseen = 0;
      this.#showNew();
      if (!this.ended && !this.following && !up) this.follow(true);
    } else if (atEnd && !this.following) this.#poll2();
  }

  /** Reading on below what is in the page. */
  async #poll2() {
    if (this.readingOn) return;
    this.readingOn = true;
    const after = this.sequence.next - 1;
    const page = await this.#get({ after, limit: LIMIT });
    if (page) this.#apply(page);
    this.readingOn = false;
  }

  /** Follow the end of the log, or stay where one is. */
  async follow(on) {
    this.following = on;
    this.wasCaughtUp = on || this.caughtUp;
    this.choices.showFollow(on);
    if (on && !this.caughtUp && this.last - this.sequence.next > LIMIT) await this.#tail();
    if (on) this.#toEnd();
    this.pace.after(true);
    this.#plan(0);
  }

  async loadEarlier() {
    if (!this.lines.first) return;
    const page = await this.#get({ before: this.lines.first, limit: LIMIT });
    if (!page) return;
    const height = this.pane.scrollHeight;
    this.lines.prepend(page.lines);
    this.pane.scrollTop += this.pane.scrollHeight - height;
    this.top = this.pane.scrollTop;
    this.#showEarlier();
  }

  /** Bring a line into view, from wherever it is in the log. */
  async goTo(number) {
    this.follow(false);
    if (!this.lines.get(number)) await this.#reset({ around: number, limit: LIMIT }, number);
    this.wasCaughtUp = this.caughtUp;
    const line = this.lines.get(number);
    if (!line) {
      this.say(`There is no line ${number}.`);
      return;
    }
    this.root.querySelectorAll(".console-line-current").forEach((each) => each.classList.remove("console-line-current"));
    line.classList.add("console-line-current");
    // Blocks get their real height only once they are near: look where the line is then, too.
    for (let frame = 0; frame < 4; frame += 1) {
      line.scrollIntoView({ block: "center" });
      this.top = this.pane.scrollTop;
      await new Promise((resolve) => { window.requestAnimationFrame(resolve); });
    }
  }
}

const root = document.querySelector("[data-log]");
if (root) new Pane(root).begin();
