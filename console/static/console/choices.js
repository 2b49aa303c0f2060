/** What one likes of the log pane: follow, wrap, times, levels. Remembered in this browser. */

const KEY = "console-log";
const TIMES = ["off", "relative", "absolute"];

function remembered() {
  try {
    return JSON.parse(window.localStorage.getItem(KEY)) || {};
  } catch {
    return {};
  }
}

function inField(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

export class Choices {
  constructor(root, pane) {
    this.root = root;
    this.pane = pane;
    this.followBox = root.querySelector("[name=log-follow]");
    this.wrapBox = root.querySelector("[name=log-wrap]");
    this.timeList = root.querySelector("[name=log-time]");
    this.levelList = root.querySelector("[name=log-level]");
    const before = remembered();
    this.wrapBox.checked = before.wrap ?? true;
    this.timeList.value = TIMES.includes(before.time) ? before.time : "relative";
    this.levelList.value = before.level === "problems" ? "problems" : "all";
    this.followBox.checked = pane.following;
    this.followBox.addEventListener("change", () => pane.follow(this.followBox.checked));
    [this.wrapBox, this.timeList, this.levelList].forEach((field) => field.addEventListener("change", () => this.apply()));
    document.addEventListener("keydown", (event) => this.#key(event));
    this.apply();
  }

  apply() {
    const time = this.timeList.value;
    const pane = this.root.querySelector("[data-log-pane]");
    pane.classList.toggle("console-nowrap", !this.wrapBox.checked);
    pane.classList.toggle("console-notime", time === "off");
    pane.classList.toggle("console-problems", this.levelList.value === "problems");
    this.pane.lines.setTime({ start: new Date(this.root.dataset.start), mode: time });
    const kept = { wrap: this.wrapBox.checked, time, level: this.levelList.value };
    try {
      window.localStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Private windows may refuse; the choice then holds for this page only.
    }
  }

  showFollow(on) {
    this.followBox.checked = on;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target)) return;
    const done = {
      f: () => this.pane.follow(!this.pane.following),
      w: () => { this.wrapBox.checked = !this.wrapBox.checked; this.apply(); },
      t: () => {
        this.timeList.value = TIMES[(TIMES.indexOf(this.timeList.value) + 1) % TIMES.length];
        this.apply();
      },
      "/": () => this.pane.finder.focus(),
      n: () => this.pane.finder.step(1),
      N: () => this.pane.finder.step(-1),
      g: () => this.root.querySelector("[name=log-line]").focus(),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  }
}
