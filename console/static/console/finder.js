/** Search over the whole log, done by the server, whatever of it is in the page. */
import { ask } from "./ask.js";
import { Marks } from "./marks.js";

// Counting ends there; stepping goes on.
const MOST = 10000;

export class Finder {
  #turn = 0;

  /**
   * @param {HTMLElement} root the log
   * @param {{goTo: (number: number) => Promise, say: (text: string) => void, last: number, level: string}} pane
   */
  constructor(root, pane) {
    this.pane = pane;
    this.url = root.dataset.searchUrl;
    this.form = root.querySelector("[data-log-search]");
    this.field = root.querySelector("[name=find]");
    this.exact = root.querySelector("[name=case]");
    this.count = root.querySelector("[data-log-count]");
    this.marks = new Marks();
    this.#forget();
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.field.value === this.text) this.step(1);
      else this.search();
    });
    this.exact.addEventListener("change", () => this.text && this.search());
    // The cross in the field.
    this.field.addEventListener("search", () => this.field.value || this.search());
    root.querySelector("[data-log-next]").addEventListener("click", () => this.step(1));
    root.querySelector("[data-log-previous]").addEventListener("click", () => this.step(-1));
  }

  #forget() {
    this.text = "";
    this.matches = [];
    this.at = -1;
    this.through = 0;
    this.done = true;
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  /** Search for what the field says now; `jump`: go to the first line that has it. */
  async search({ jump = true } = {}) {
    this.#forget();
    this.text = this.field.value;
    this.marks.set(this.text, this.exact.checked);
    this.pane.remark();
    this.pane.choices.toAddress({ find: this.text, case: this.text && this.exact.checked ? "1" : "" });
    this.done = !this.text;
    if (!this.text) {
      this.#turn += 1;
      this.#show("");
      return;
    }
    const toFirst = () => {
      if (jump && this.at < 0 && this.matches.length) this.#go(0);
    };
    const found = await this.#more(MOST, (part) => {
      toFirst();
      this.#show(part);
    });
    if (!found) return;
    toFirst();
    if (!this.matches.length) this.#show("No line has that.");
    else if (this.at >= 0) this.#show();
    else this.#show(`${this.#total()} line${this.matches.length === 1 ? "" : "s"}`);
  }

  #go(at) {
    this.at = at;
    this.#show();
    return this.pane.goTo(this.matches[at]);
  }

  /** Search on from where it stopped; gives false when it failed or another search has begun. */
  async #more(most, told = () => {}) {
    this.#turn += 1;
    const turn = this.#turn;
    const until = this.matches.length + most;
    do {
      let found;
      try {
        found = await (await ask(`${this.url}?${this.#query()}`)).json();
      } catch {
        if (turn === this.#turn) this.#show("The search failed; try again.");
        return false;
      }
      if (turn !== this.#turn) return false;
      this.matches.push(...found.matches);
      this.through = found.through;
      this.done = found.done;
      if (!this.done) told(`Searching… ${Math.round((100 * this.through) / Math.max(1, found.last))} %`);
    } while (!this.done && this.matches.length < until);
    return true;
  }

  #query() {
    const query = { text: this.text, after: this.through };
    if (this.exact.checked) query.case = "1";
    if (this.pane.level !== "all") query.level = this.pane.level;
    return new URLSearchParams(query);
  }

  /** Go to the next match (1) or the one before (-1), wherever it is in the log. */
  async step(by) {
    if (!this.matches.length) return;
    let at = this.at + by;
    // Behind the last one that is known: the log may have grown, or there were too many to count.
    if (at >= this.matches.length && (!this.done || this.through < this.pane.last)) {
      const before = this.matches.length;
      if (!await this.#more(1)) return;
      at = this.matches.length > before || !this.done ? Math.min(at, this.matches.length - 1) : 0;
    }
    if (at < 0 && !this.done) {
      this.#show(`1 of ${this.#total()}: the first one`);
      return;
    }
    await this.#go((at + this.matches.length) % this.matches.length);
  }

  #total() {
    return `${this.matches.length.toLocaleString()}${this.done ? "" : "+"}`;
  }

  #show(text) {
    const place = `${(this.at + 1).toLocaleString()} of ${this.#total()}`;
    this.count.textContent = text ?? place;
    if (text === undefined) this.pane.say(`Match ${place}, line ${this.matches[this.at]}.`);
    else this.pane.say(text);
  }
}
