/** Where the news of a log comes from: a stream where there can be one, else questions at a pace. */
import { Refused, SignedOut, ask } from "./ask.js";
import { Pace } from "./sequence.js";
import { Silent, Stream, Unstreamable } from "./stream.js";

/**
 * What a source has to know of its reader.
 *
 * @typedef {Object} Reader
 * @property {() => ?{after: number, limit: number}} wants the lines that it wants next (limit 0: only how far
 *   the log is); null when it wants none any more. What else it says goes into the questions; a stream has all lines
 * @property {(page: Object) => void} heard of every answer, whoever asked: `first`, `last`, `status`, `over`
 * @property {(page: Object) => void} take the lines of the news, to be applied if they are next
 * @property {() => void} changed the state may have changed
 */

/** In milliseconds, but for `breaks`: so many streams in a row that do not last, and it is polled for a while. */
const TIMES = { opening: 5000, silence: 40000, steady: 10000, pause: 500, breaks: 3, aside: 60000 };

/** So that those who lost the same server do not all come back in the same moment. */
const scattered = (delay) => delay * (0.75 + Math.random() / 2);

export class Source {
  #timer = 0;
  #turn = 0;
  #tag = { query: "", etag: "" };
  #stream = null;
  #at = 0;
  #countsOnly = false;
  #breaks = 0;
  #silences = 0;
  #pollUntil = 0;
  #probing = false;
  #live = false;
  #failed = false;
  #stopped = "";
  #started = false;

  /**
   * @param {{page: string, stream: string}} urls where pages of the log are asked for, and where it is streamed
   * @param {Reader} reader
   * @param {Object} times see `TIMES`
   */
  constructor(urls, reader, times = {}) {
    this.urls = urls;
    this.reader = reader;
    this.times = { ...TIMES, ...times };
    this.pace = new Pace();
  }

  /** One of live (streamed), connecting, polling, reconnecting; or for good: out (no session any more), refused. */
  get state() {
    if (this.#stopped) return this.#stopped;
    if (this.#failed) return "reconnecting";
    if (this.#live) return "live";
    return this.#stream ? "connecting" : "polling";
  }

  /** Begin to bring news. */
  start() {
    // Browsers have six connections for a host: only a page that is looked at holds one.
    document.addEventListener("visibilitychange", () => this.#anew());
    window.addEventListener("pagehide", () => this.#close());
    window.addEventListener("pageshow", (event) => event.persisted && this.#anew());
    window.addEventListener("online", () => {
      if (this.#pollUntil !== Infinity) this.#pollUntil = 0;
      this.#anew();
    });
    window.addEventListener("offline", () => this.#stream && this.#broken(0));
    this.#started = true;
    this.#plan(0);
  }

  /** What the reader wants has changed: look at once. */
  wake() {
    this.#tag = { query: "", etag: "" };
    this.pace.after(true);
    if (this.#started && !this.#fits()) this.#plan(0);
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
      const answer = await ask(`${this.urls.page}?${asked}`, { etag: known });
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

  #step() {
    const wanted = this.reader.wants();
    if (!wanted) {
      this.#close();
      this.reader.changed();
    } else if (document.hidden || this.#probing || performance.now() < this.#pollUntil) this.#poll(wanted);
    else this.#listen(wanted);
  }

  #plan(delay) {
    window.clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = window.setTimeout(() => this.#step(), delay);
  }

  #anew() {
    this.#close();
    this.#live = false;
    this.reader.changed();
    this.#plan(document.hidden ? this.pace.hidden : 0);
  }

  async #poll(wanted) {
    this.#close();
    this.#live = false;
    this.#turn += 1;
    const turn = this.#turn;
    const began = performance.now();
    const page = await this.get(wanted, { tagged: true });
    const took = performance.now() - began;
    if (page) this.reader.take(page);
    // Somebody else has asked meanwhile: his answer plans what comes next.
    if (turn !== this.#turn) return;
    const delay = this.pace.after(Boolean(page?.lines.length), took);
    if (this.#probing && !this.#failed) {
      this.#probing = false;
      this.#plan(0);
      return;
    }
    this.reader.changed();
    const next = this.reader.wants();
    const more = next && next.limit > 0 && page?.lines.length && next.after < page.last;
    if (document.hidden) this.#plan(this.pace.hidden);
    else this.#plan(more ? 0 : this.#failed ? scattered(delay) : delay);
  }

  async #listen(wanted) {
    this.#close();
    this.#turn += 1;
    this.#at = wanted.after;
    this.#countsOnly = wanted.limit === 0;
    const query = new URLSearchParams(this.#countsOnly ? { lines: 0 } : { after: wanted.after });
    const began = performance.now();
    const { opening, silence } = this.times;
    const stream = new Stream(`${this.urls.stream}?${query}`, {
      opening, silence, heard: () => this.#heard(), take: (page) => this.#news(page),
    });
    this.#stream = stream;
    this.reader.changed();
    try {
      await stream.run();
      if (stream !== this.#stream) return;
      if (this.reader.wants()) this.#broken(performance.now() - began);
      else this.#plan(0);
    } catch (error) {
      // One that we closed ourselves is not the one we have any more.
      if (stream === this.#stream) this.#lost(error, performance.now() - began);
    }
  }

  /** The stream lives. */
  #heard() {
    this.#live = true;
    this.#failed = false;
    this.reader.changed();
  }

  #news(page) {
    this.#at = page.next;
    this.reader.heard(page);
    this.reader.take(page);
    this.reader.changed();
    if (!this.#fits()) this.#plan(0);
  }

  /** Whether the open stream brings what is wanted next: no lines are missing in between. */
  #fits() {
    const wanted = this.reader.wants();
    if (!wanted || !this.#stream || (wanted.limit === 0) !== this.#countsOnly) return false;
    return this.#countsOnly || wanted.after === this.#at;
  }

  #lost(error, lasted) {
    let aside = 0;
    // WSGI.
    if (error instanceof Unstreamable) aside = Infinity;
    // Something on the way keeps events back, or the server has very much to do.
    else if (error instanceof Silent && !error.opened) {
      aside = this.times.aside * 5 ** this.#silences;
      this.#silences += 1;
    }
    if (aside) {
      this.#pollUntil = performance.now() + aside;
      this.#close();
      this.#plan(0);
    } else this.#broken(lasted);
  }

  /**
   * The stream ended without the end of the log. Before another one, lines are asked for, with pauses that grow: that
   * tells whether the server is there, and what it says.
   */
  #broken(lasted) {
    this.#close();
    this.#live = false;
    this.#failed = true;
    this.#probing = true;
    this.#breaks = lasted > this.times.steady ? 1 : this.#breaks + 1;
    if (this.#breaks > this.times.breaks) {
      this.#breaks = 0;
      this.#pollUntil = performance.now() + this.times.aside;
    }
    this.pace.after(true);
    this.reader.changed();
    this.#plan(scattered(this.times.pause));
  }

  #close() {
    const stream = this.#stream;
    this.#stream = null;
    stream?.close();
  }
}
