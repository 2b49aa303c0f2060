/** What one likes of the log pane. How it looks is remembered in this browser; what it shows is in the address. */

const KEY = "console-log";
const TIMES = ["off", "relative", "absolute"];
const LEVELS = ["all", "problems", "errors"];

function remembered() {
  try {
    return JSON.parse(window.localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
}

export class Choices {
  constructor(root, pane) {
    this.root = root;
    this.pane = pane;
    this.followBox = root.querySelector("[name=log-follow]");
    this.wrapBox = root.querySelector("[name=log-wrap]");
    this.timeList = root.querySelector("[name=log-time]");
    this.levelList = root.querySelector("[name=level]");
    const before = remembered();
    this.wrapBox.checked = before.wrap ?? true;
    this.timeList.value = TIMES.includes(before.time) ? before.time : "relative";
    // Browsers keep what a form held over a reload; the address is right.
    const level = new URLSearchParams(window.location.search).get("level");
    this.levelList.value = LEVELS.includes(level) ? level : "all";
    this.followBox.checked = pane.following;
    this.followBox.addEventListener("change", () => pane.follow(this.followBox.checked));
    [this.wrapBox, this.timeList].forEach((field) => field.addEventListener("change", () => this.apply()));
    this.levelList.addEventListener("change", () => {
      this.toAddress({ level: this.level === "all" ? "" : this.level });
      pane.refilter();
    });
    // A page that was there before its run had begun.
    document.addEventListener("console:refreshed", () => this.#retime());
    this.apply();
  }

  /** When the run began; null before it has. */
  get #start() {
    const began = document.querySelector("#console-started time");
    return began && new Date(began.dateTime);
  }

  #retime() {
    const start = this.#start;
    if (start?.getTime() === this.pane.lines.time.start?.getTime()) return;
    this.pane.lines.setTime({ start, mode: this.timeList.value });
  }

  /** One of all, problems, errors. */
  get level() {
    return this.levelList.value;
  }

  /** No level is left out any more. */
  showAll() {
    this.levelList.value = "all";
    this.toAddress({ level: "" });
  }

  apply() {
    const time = this.timeList.value;
    const pane = this.root.querySelector("[data-log-pane]");
    pane.classList.toggle("console-nowrap", !this.wrapBox.checked);
    pane.classList.toggle("console-notime", time === "off");
    this.pane.lines.setTime({ start: this.#start, mode: time });
    try {
      window.localStorage.setItem(KEY, JSON.stringify({ wrap: this.wrapBox.checked, time }));
    } catch {
      // Private windows may refuse; the choice then holds for this page only.
    }
  }

  wrap() {
    this.wrapBox.checked = !this.wrapBox.checked;
    this.apply();
  }

  nextTime() {
    this.timeList.value = TIMES[(TIMES.indexOf(this.timeList.value) + 1) % TIMES.length];
    this.apply();
  }

  showFollow(on) {
    this.followBox.checked = on;
  }

  /** Put values into the address, and take the empty ones out. */
  toAddress(values) {
    const url = new URL(window.location.href);
    Object.entries(values).forEach(([name, value]) => {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    });
    window.history.replaceState(null, "", url);
  }
}
