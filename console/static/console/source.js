/** Where the news of a log comes from: asks for it at a pace, and tells truthfully how that goes. */
import { Refused, SignedOut, ask } from "./ask.js";
import { Pace } from "./sequence.js";

/**
 * What a source has to know of its reader.
 *
 * @typedef {Object} Reader
 * @property {() => ?{after: number, limit: number}} wants the lines that it wants next (limit 0: only how far
 *   the log is); null when it wants none any more
 * @property {(page: Object) => void} heard of every answer, whoever asked: `first`, `last`, `status`, `over`
 * @property {(page: Object) => void} take the lines of the news, to be applied if they are next
 * @property {() => void} changed the state may have changed
 */

export class Source {
  #timer = 0;
  #turn = 0;
  #tag = { query: "", etag: "" };
  #failed = false;
  #stopped = "";

  /**
   * @param {string} url where pages of the log are asked for
   * @param {Reader} reader
   */
  constructor(url, reader) {
    this.url = url;
    this.reader = reader;
    this.pace = new Pace();
  }

  /** One of live, polling, reconnecting; or for good: out (no session any more), refused. */
  get state() {
    if (this.#stopped) return this.#stopped;
    if (this.#failed) return "reconnecting";
    return this.pace.delay > 1000 ? "polling" : "live";
  }

  /** Begin to bring news. */
  start() {
    document.addEventListener("visibilitychange", () => this.#plan(document.hidden ? this.pace.hidden : 0));
    this.#plan(this.pace.delay);
  }

  /** What the reader wants has changed: look at once. */
  wake() {
    this.#tag = { query: "", etag: "" };
    this.pace.after(true);
    this.#plan(0);
  }

  /**
   * One question about the log, as `after`, `before`, `around` or `tail`.
   *
   * @returns {Promise<?Object>} the page; null when there is nothing new, or it failed
   */
  async get(query, { tagged = false } = {}) {
    const asked = new URLSearchParams(query).toString();
    try {
      const known = tagged && this.#tag.query === asked ? this.#tag.etag : "";
      const answer = await ask(`${this.url}?${asked}`, { etag: known });
      this.#failed = false;
      if (answer.status === 304) return null;
      const page = await answer.json();
      // Only an answer without lines may be answered with "the same": its lines might not be there any more.
      if (tagged) this.#tag = page.lines.length ? { query: "", etag: "" } : { query: asked, etag: answer.etag };
      this.reader.heard(page);
      return page;
    } catch (error) {
      this.#failed = true;
      if (error instanceof SignedOut) this.#stopped = "out";
      else if (error instanceof Refused && error.status < 500) this.#stopped = "refused";
      return null;
    }
  }

  async #poll() {
    const wanted = this.reader.wants();
    if (!wanted) return this.reader.changed();
    this.#turn += 1;
    const turn = this.#turn;
    const page = await this.get(wanted, { tagged: true });
    if (page) this.reader.take(page);
    // Somebody else has asked meanwhile: his answer plans what comes next.
    if (turn !== this.#turn) return undefined;
    const delay = this.pace.after(Boolean(page?.lines.length));
    this.reader.changed();
    const next = this.reader.wants();
    const more = next && next.limit > 0 && page?.lines.length && next.after < page.last;
    return this.#plan(more ? 0 : delay);
  }

  #plan(delay) {
    window.clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = window.setTimeout(() => this.#poll(), document.hidden ? this.pace.hidden : delay);
  }
}
