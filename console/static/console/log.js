/** The log pane of a run: shows lines, keeps its place, searches; what it shows comes from a source. */
import { Lines, MOST_LINES } from "./lines.js";
import { Sequence } from "./sequence.js";
import { Source } from "./source.js";
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
    this.pane = root.querySelector("[data-log-pane]");
    this.status = root.querySelector("[data-log-status]");
    this.chip = root.querySelector("[data-log-chip]");
    this.newLines = root.querySelector("[data-log-new]");
    this.earlier = root.querySelector("[data-log-earlier]");
    this.lines = new Lines(root.querySelector("[data-log-lines]"));
    this.sequence = new Sequence();
    this.following = root.dataset.active === "1";
    this.unseen = 0;
    this.last = 0;
    this.first = 1;
    this.over = false;
    this.source = new Source(root.dataset.url, {
      wants: () => this.#wants(),
      heard: (page) => this.#heard(page),
      take: (page) => this.#apply(page),
      changed: () => this.#show(),
    });
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
    window.addEventListener("hashchange", () => this.#goToHash());
    const wanted = this.#hash();
    if (wanted) await this.goTo(wanted);
    else await this.#tail();
    this.source.start();
  }

  #hash() {
    return Number((/^#L(\d+)$/.exec(window.location.hash) || [])[1]) || 0;
  }

  #goToHash() {
    const wanted = this.#hash();
    if (wanted) this.goTo(wanted);
  }

  /** How far the log is, and its run. */
  #heard(page) {
    this.last = Math.max(this.last, page.last);
    this.first = page.first;
    this.over = page.over;
    if (page.status === this.root.dataset.status) return;
    this.root.dataset.status = page.status;
    document.dispatchEvent(new CustomEvent("console:refresh"));
  }

  /** What the source is to bring: one who reads far above the end is told how many lines came, and gets them there. */
  #wants() {
    const room = this.following || this.lines.count < MOST_LINES;
    const limit = room && (this.following || this.wasCaughtUp !== false) ? LIMIT : 0;
    if (this.over && (this.caughtUp || !limit)) return null;
    return { after: this.sequence.next - 1, limit };
  }

  /** No more lines will come, and none are on their way. */
  get ended() {
    return this.over && (this.caughtUp || !this.following);
  }

  get caughtUp() {
    return this.sequence.next > this.last;
  }

  async #reset(query, next) {
    const page = await this.source.get(query);
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
  }

  #show() {
    const { state } = this.source;
    const [name, text] = CHIPS[this.ended && (state === "live" || state === "polling") ? "ended" : state];
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
    } else if (atEnd && !this.following) this.#readOn();
  }

  /** Reading on below what is in the page. */
  async #readOn() {
    if (this.readingOn) return;
    this.readingOn = true;
    const page = await this.source.get({ after: this.sequence.next - 1, limit: LIMIT });
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
    this.source.wake();
  }

  async loadEarlier() {
    if (!this.lines.first) return;
    const page = await this.source.get({ before: this.lines.first, limit: LIMIT });
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
