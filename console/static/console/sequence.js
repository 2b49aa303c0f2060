/**
 * Which lines of a log may be shown next.
 *
 * Lines are numbered from 1 without gaps. A line is taken only if it is the next one, so that nothing is
 * lost or doubled when answers overlap, arrive twice or out of order.
 */
export class Sequence {
  /** @param {number} next number of the first line that is wanted */
  constructor(next = 1) {
    this.next = next;
  }

  /**
   * Take what continues the log.
   *
   * @param {Array<[number, string, string, string, number?]>} lines ascending; number, time, level, text, and
   *   the last number where one line stands for many that are not kept
   * @returns {{fresh: Array, gap: boolean}} `fresh`: to be appended; `gap`: lines are missing in between,
   *   ask again from `next`
   */
  take(lines) {
    const fresh = [];
    for (const line of lines) {
      const last = line[4] ?? line[0];
      if (last < this.next) continue;
      if (line[0] > this.next) return { fresh, gap: true };
      fresh.push(line);
      this.next = last + 1;
    }
    return { fresh, gap: false };
  }
}

/**
 * How long to wait before asking again: hardly while lines come, ever longer while none do. A server that is slow to
 * answer has much to do; it is left alone for longer, so that many who ask do not queue up before it.
 */
export class Pace {
  constructor({ fastest = 250, slowest = 5000, hidden = 30000 } = {}) {
    Object.assign(this, { fastest, slowest, hidden });
    this.delay = fastest;
  }

  /** Tell whether the last answer brought anything, and how long it took; gives the delay. In milliseconds. */
  after(hadNews, took = 0) {
    this.delay = Math.min(Math.max(hadNews ? this.fastest : this.delay * 2, 2 * took), this.slowest);
    return this.delay;
  }
}
