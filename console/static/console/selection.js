/** Lines that are pointed at: their address, and how one gets to them with pointer and keys. */

import { hashOf } from "./address.js";

const CURRENT = "console-line-current";

export class Selection {
  /**
   * @param {HTMLElement} root the log
   * @param {{get: (number) => ?HTMLElement, at: (top: number) => ?HTMLElement}} lines
   * @param {{chosen: () => void, said: (text: string) => void}} told when a person chose lines; what to tell
   */
  constructor(root, lines, told) {
    Object.assign(this, { root, lines, told });
    this.pane = root.querySelector("[data-log-pane]");
    this.copy = root.querySelector("[data-log-copy]");
    this.range = null;
    this.anchor = 0;
    this.pane.addEventListener("click", (event) => this.#clicked(event));
    this.pane.addEventListener("keydown", (event) => this.#key(event));
    this.pane.addEventListener("focus", () => this.#stop(this.lines.at(this.pane.getBoundingClientRect().top + 2)));
    this.copy.addEventListener("click", () => this.#copyLink());
  }

  /** Mark lines; `range` null: none. */
  set(range) {
    this.range = range;
    this.anchor = range?.first ?? 0;
    this.#paint();
  }

  /** For every line that is drawn. */
  decorate(line, number) {
    const is = Boolean(this.range) && number >= this.range.first && number <= this.range.last;
    line.classList.toggle(CURRENT, is);
  }

  #paint() {
    this.pane.querySelectorAll(`.${CURRENT}`).forEach((line) => line.classList.remove(CURRENT));
    if (this.range) {
      const [first, last] = [Math.max(this.range.first, this.lines.first ?? 0), Math.min(this.range.last, this.lines.last ?? 0)];
      for (let number = first; number <= last; number += 1) this.lines.get(number)?.classList.add(CURRENT);
      this.#stop(this.lines.get(this.range.first));
    }
    this.copy.hidden = !this.range;
    this.copy.textContent = this.range && this.range.first !== this.range.last
      ? `Copy link to lines ${this.range.first} to ${this.range.last}` : `Copy link to line ${this.range?.first ?? ""}`;
  }

  #choose(number, extend) {
    const anchor = extend && this.anchor ? this.anchor : number;
    this.range = { first: Math.min(anchor, number), last: Math.max(anchor, number) };
    this.anchor = anchor;
    this.#paint();
    window.history.replaceState(null, "", this.#address());
    this.told.chosen();
  }

  /** The address of this page with the lines in it, without what a page without a script was asked for. */
  #address(withoutScript = false) {
    const url = new URL(window.location.href);
    ["around", "before", "after"].forEach((name) => url.searchParams.delete(name));
    const { first, last } = this.range;
    // The page as the server sends it has these lines, too; there an address names one of them.
    if (withoutScript) url.searchParams.set("around", first === last ? first : `${first}-${last}`);
    url.hash = hashOf(this.range);
    return url.href;
  }

  #clicked(event) {
    const link = event.target.closest("a.console-line-number");
    if (!link || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.#choose(Number(link.parentElement.id.slice(1)), event.shiftKey);
    link.focus({ preventScroll: true });
  }

  /** From one line's link to the next with the arrow keys; with Shift the lines in between are chosen. */
  #key(event) {
    const link = event.target.closest("a.console-line-number");
    const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (!link || !by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const line = link.parentElement;
    const block = line.parentElement[by];
    const next = line[by] ?? block?.[by === "nextElementSibling" ? "firstElementChild" : "lastElementChild"];
    if (!next?.classList.contains("console-line")) return;
    this.#stop(next);
    next.querySelector("a").focus();
    if (event.shiftKey) {
      this.anchor ||= Number(line.id.slice(1));
      this.#choose(Number(next.id.slice(1)), true);
    }
  }

  /** The one line to which the Tab key leads. */
  #stop(line) {
    const link = line?.querySelector("a.console-line-number");
    if (!link) return;
    if (this.tabStop) this.tabStop.tabIndex = -1;
    link.tabIndex = 0;
    this.tabStop = link;
  }

  async #copyLink() {
    const address = this.#address(true);
    try {
      await navigator.clipboard.writeText(address);
      this.told.said("The link is copied.");
    } catch {
      // Without https there is no clipboard: the address is in the address bar.
      this.told.said("Copy it from the address bar: this page may not write to the clipboard.");
    }
  }
}
