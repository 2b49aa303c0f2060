/** How groups of lines look: a button that folds, how many lines there are, whether something failed. */
import { element } from "./drawing.js";

const DEEPEST = 3;

export class Headings {
  /**
   * @param {HTMLElement} root the log
   * @param {import("./folds.js").Folds} folds
   * @param {() => number} last the last line of the log
   * @param {(first: ?number) => void} folded called when a person folded or unfolded a group, or all of them (null)
   */
  constructor(root, folds, last, folded) {
    Object.assign(this, { folds, last, folded });
    this.all = root.querySelector("[data-log-fold]");
    this.all.addEventListener("click", () => {
      folds.foldAll(this.#anyOpen);
      this.show();
      folded(null);
    });
    root.querySelector("[data-log-pane]").addEventListener("click", (event) => {
      const button = event.target.closest(".console-fold-mark");
      if (!button) return;
      const first = Number(button.closest(".console-line").id.slice(1));
      folds.toggle(first);
      this.show();
      folded(first);
    });
  }

  get #anyOpen() {
    return this.folds.groups.some((group) => !this.folds.folded.has(group.first));
  }

  /** The button for all groups. */
  show(more = false) {
    this.all.hidden = !this.folds.groups.length;
    this.all.textContent = this.#anyOpen ? "Fold all" : "Unfold all";
    this.all.title = more ? "Only the first groups of this log can be folded: there are too many." : "";
  }

  /** For every line that is drawn. */
  decorate(line, number) {
    if (!this.folds.groups.length) return;
    line.dataset.depth = Math.min(DEEPEST, this.folds.depth(number));
    this.refresh(line, number);
  }

  /** What stands at a group's first line. */
  refresh(line, number) {
    const group = line && this.folds.at(number);
    if (!group) return;
    const body = line.querySelector(".console-line-text");
    let button = line.querySelector(".console-fold-mark");
    if (!button) {
      button = element("button", "console-fold-mark");
      button.type = "button";
      body.before(button);
      line.append(element("span", "console-fold-note"));
    }
    const isFolded = this.folds.folded.has(number);
    button.textContent = isFolded ? "▸" : "▾";
    button.setAttribute("aria-expanded", String(!isFolded));
    button.setAttribute("aria-label", `Lines of: ${group.title}`);
    const count = Math.max(0, (group.last ?? this.last()) - number);
    const words = `${group.title !== body.textContent ? `${group.title}: ` : ""}${count.toLocaleString()} line${count === 1 ? "" : "s"}`;
    const note = line.querySelector(".console-fold-note");
    note.replaceChildren(words);
    if (group.failed) note.append(" ", element("strong", "console-fold-failed", "✕ failed"));
    else if (group.last === null) note.append(" so far");
  }
}
