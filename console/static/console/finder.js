/** Search over the whole log, done by the server; and going to a line by its number. */
import { ask } from "./ask.js";

export class Finder {
  constructor(root, pane) {
    this.pane = pane;
    this.url = root.dataset.searchUrl;
    this.form = root.querySelector("[data-log-search]");
    this.field = root.querySelector("[name=log-text]");
    this.count = root.querySelector("[data-log-count]");
    this.matches = [];
    this.at = -1;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.field.value === this.text) this.step(1);
      else this.search();
    });
    root.querySelector("[data-log-next]").addEventListener("click", () => this.step(1));
    root.querySelector("[data-log-previous]").addEventListener("click", () => this.step(-1));
    root.querySelector("[data-log-goto]").addEventListener("submit", (event) => {
      event.preventDefault();
      const number = Number(new FormData(event.target).get("log-line"));
      if (number) window.location.hash = `L${number}`;
    });
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  async search() {
    this.text = this.field.value;
    this.matches = [];
    this.at = -1;
    if (this.text) {
      try {
        const answer = await ask(`${this.url}?${new URLSearchParams({ text: this.text })}`);
        const found = await answer.json();
        this.matches = found.matches;
        this.total = `${found.matches.length.toLocaleString()}${found.done ? "" : "+"}`;
      } catch {
        this.#show("The search failed; try again.");
        return;
      }
    }
    if (this.matches.length) this.step(1);
    else this.#show(this.text ? "No line has that." : "");
  }

  step(by) {
    if (!this.matches.length) return;
    this.at = (this.at + by + this.matches.length) % this.matches.length;
    const number = this.matches[this.at];
    this.#show(`${this.at + 1} of ${this.total}`);
    this.pane.goTo(number);
  }

  #show(text) {
    this.count.textContent = text;
    this.pane.say(text && this.matches.length ? `Match ${text}, line ${this.matches[this.at]}.` : text);
  }
}
