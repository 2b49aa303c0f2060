/** What the log says of itself: how it is connected, where one is in it, how much there is that one does not see. */

const CHIPS = {
  live: ["live", "Live"],
  connecting: ["reconnecting", "Connecting…"],
  polling: ["polling", "Polling"],
  reconnecting: ["reconnecting", "Reconnecting…"],
  ended: ["ended", "Ended"],
  out: ["reconnecting", "Signed out: reload the page to log in"],
  refused: ["reconnecting", "The server refused: reload the page"],
};
// Nothing can be printed then: the page says what the run waits for, and not how lines would come.
const WAITING = ["waiting", "scheduled", "enqueued"];
// Said on the chip only: a screen reader would hear of nothing else.
const QUIET = ["live", "polling", "connecting"];

export class Signs {
  constructor(root) {
    const find = (name) => root.querySelector(`[data-log-${name}]`);
    this.root = root;
    this.status = find("status");
    this.box = find("chip");
    this.newLines = find("new");
    this.at = find("place");
  }

  /** Tell politely. */
  say(text) {
    this.status.textContent = text;
  }

  /** @param {string} state of the source @param {boolean} ended no line will come any more @param {number} last */
  chip(state, ended, last) {
    const shown = ended && QUIET.includes(state) ? "ended" : state;
    const isHeld = shown === "ended" && this.root.dataset.status === "paused";
    const [name, text] = isHeld ? ["ended", "Paused"] : CHIPS[shown];
    this.box.hidden = WAITING.includes(this.root.dataset.status) && QUIET.includes(shown);
    if (this.box.dataset.state === name && this.box.textContent === text) return;
    this.box.dataset.state = name;
    this.box.textContent = text;
    const lines = `${last.toLocaleString()} line${last === 1 ? "" : "s"}`;
    const { what, status } = this.root.dataset;
    if (shown === "ended") this.say(`${what} ${status}. The log has ${status === "paused" ? `${lines} so far` : `ended, ${lines}`}.`);
    else if (!QUIET.includes(shown)) this.say(text);
    // What was said of a connection is over when it is there again.
    else if (Object.values(CHIPS).some(([, each]) => each === this.status.textContent)) this.say("");
  }

  /** How many lines are below what one sees; `over`: they are not new any more. */
  news(count, over) {
    this.newLines.hidden = count === 0;
    this.newLines.textContent = `${count.toLocaleString()} ${over ? "more" : "new"} line${count === 1 ? "" : "s"} ↓`;
  }

  place(number, last) {
    this.at.textContent = last && number ? `Line ${Number(number).toLocaleString()} of ${last.toLocaleString()}` : "";
  }
}
