/**
 * Server-sent events, read with fetch: unlike EventSource it tells a refusal from a broken line, and hears the
 * comments by which the server shows that it is still there.
 */
import { Refused, SignedOut } from "./ask.js";

/** The server, or something before it, cannot stream. */
export class Unstreamable extends Error {}

/** Nothing was heard for too long; `opened`: something had been heard before. */
export class Silent extends Error {
  constructor(opened) {
    super("Nothing was heard for too long.");
    this.opened = opened;
  }
}

/** Cuts what arrives in pieces into events. Lines end with \n, as our server ends them. */
export class Events {
  #rest = "";

  /** @returns {Array<string>} the data of each event that this piece completes; comments have none */
  feed(piece) {
    const parts = (this.#rest + piece).split("\n\n");
    this.#rest = parts.pop();
    return parts.map((part) =>
      part.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n"),
    ).filter(Boolean);
  }
}

export class Stream {
  #abort = new AbortController();
  #timer = 0;
  #opened = false;

  /**
   * @param {string} url
   * @param {{heard: () => void, take: (data: Object) => void, opening: number, silence: number}} options `heard`: of
   *   any sign of life; `take`: of each event; milliseconds of silence that are borne at first, and later
   */
  constructor(url, options) {
    this.url = url;
    this.options = options;
  }

  /**
   * Read to the end of the stream.
   *
   * @throws {Unstreamable|Silent|SignedOut|Refused|TypeError} the last when the line breaks; AbortError after close()
   */
  async run() {
    this.#watch(this.options.opening);
    try {
      const headers = { Accept: "text/event-stream", "X-Requested-With": "fetch" };
      const { signal } = this.#abort;
      const answer = await fetch(this.url, { headers, credentials: "same-origin", cache: "no-store", signal });
      if (answer.redirected) throw new SignedOut();
      if (!answer.ok) throw new Refused(answer.status);
      if (!(answer.headers.get("Content-Type") || "").startsWith("text/event-stream")) throw new Unstreamable();
      await this.#read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    } finally {
      this.close();
    }
  }

  async #read(reader) {
    const events = new Events();
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.#abort.signal.aborted) return;
      this.#opened = true;
      this.#watch(this.options.silence);
      this.options.heard();
      for (const data of events.feed(value)) {
        if (this.#abort.signal.aborted) return;
        this.options.take(JSON.parse(data));
      }
    }
  }

  #watch(milliseconds) {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#abort.abort(new Silent(this.#opened)), milliseconds);
  }

  close() {
    window.clearTimeout(this.#timer);
    this.#abort.abort();
  }
}
