/** Shows where the text that is searched for stands, without touching the lines themselves. */

const NAME = "console-find";

export class Marks {
  constructor() {
    this.pattern = null;
    // Older browsers do without.
    this.highlight = window.Highlight && CSS.highlights ? new window.Highlight() : null;
    if (this.highlight) CSS.highlights.set(NAME, this.highlight);
  }

  /** @param {string} text what to show; empty: nothing @param {boolean} exact tell capitals from small letters */
  set(text, exact) {
    this.clear();
    const quoted = text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
    this.pattern = text ? new RegExp(quoted, exact ? "gu" : "giu") : null;
  }

  /** So many are shown, or were shown in lines that are gone, that it is time to begin anew. */
  get isHeavy() {
    return (this.highlight?.size ?? 0) > 20000;
  }

  clear() {
    this.highlight?.clear();
  }

  /** Show it in one line. */
  draw(line) {
    if (!this.highlight || !this.pattern) return;
    const body = line.querySelector(".console-line-text");
    const text = body.textContent;
    for (const match of text.matchAll(this.pattern)) {
      if (match[0]) this.highlight.add(this.#range(body, match.index, match.index + match[0].length));
    }
  }

  #range(body, from, to) {
    const range = document.createRange();
    const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    let [passed, begun] = [0, false];
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (!begun && from < passed + node.length) {
        range.setStart(node, from - passed);
        begun = true;
      }
      if (to <= passed + node.length) {
        range.setEnd(node, to - passed);
        break;
      }
      passed += node.length;
    }
    return range;
  }
}
