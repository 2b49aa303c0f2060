/** Room for the lines that are not in the page, so that the scroll bar is that of the whole log. */

// Browsers give up at 17 to 33 million pixels.
const MOST_PIXELS = 12e6;
// Where nobody knows how many lines there are (only some levels are shown), room enough to scroll into.
const EDGE = 40;

export class Room {
  /**
   * @param {HTMLElement} pane what scrolls
   * @param {HTMLElement} above before the lines
   * @param {HTMLElement} below after the lines
   */
  constructor(pane, above, below) {
    Object.assign(this, { pane, above, below });
    this.scale = 0;
    this.line = 20;
  }

  /** Take the height of one line from lines that are on the screen. */
  measure(block) {
    const lines = block?.childElementCount ?? 0;
    const height = block?.getBoundingClientRect().height ?? 0;
    if (lines && height) this.line = Math.max(8, Math.min(height / lines, 400));
  }

  /**
   * @param {{before: number, after: number, known: boolean}} lines how many are not in the page on either side;
   *   not `known`: zero or some
   */
  set({ before, after, known }) {
    this.scale = known ? Math.min(this.line, MOST_PIXELS / Math.max(1, before + after)) : 0;
    const pixels = (count) => `${known ? Math.round(count * this.scale) : (count > 0 ? EDGE : 0)}px`;
    this.above.style.blockSize = pixels(before);
    this.below.style.blockSize = pixels(after);
  }

  /** Where the pane stands: pixels of lines that are in the page above and below what is seen (negative: none there). */
  margins(box) {
    const pane = this.pane.getBoundingClientRect();
    const lines = box.getBoundingClientRect();
    return { above: pane.top - lines.top, below: lines.bottom - pane.bottom, height: pane.height };
  }

  /** How many lines of the room above come before what is seen; the same below: after its beginning. */
  linesBefore() {
    return this.scale ? this.pane.scrollTop / this.scale : 0;
  }

  linesBelow() {
    const top = this.pane.getBoundingClientRect().top;
    return this.scale ? (top - this.below.getBoundingClientRect().top) / this.scale : 0;
  }
}
