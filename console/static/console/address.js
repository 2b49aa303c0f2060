/** Which lines an address names, and the ways to them: this page's address, links on it, the field for a number. */

/**
 * The lines that an address names: #L120, #L120-L180, or ?around=120-180 where it has no hash.
 *
 * @param {{hash: string, search: string}} address
 * @returns {?{first: number, last: number}}
 */
export function named({ hash, search }) {
  const asked = /^#L(\d+)(?:-L?(\d+))?$/.exec(hash) ?? /^(\d+)(?:-(\d+))?$/.exec(new URLSearchParams(search).get("around") ?? "");
  if (!asked) return null;
  const ends = [Number(asked[1]), Number(asked[2] ?? asked[1])].sort((one, other) => one - other);
  return ends[0] >= 1 && ends[1] < 1e15 ? { first: ends[0], last: ends[1] } : null;
}

/** Such an address's hash. */
export function hashOf({ first, last }) {
  return first === last ? `#L${first}` : `#L${first}-L${last}`;
}

export class Address {
  /**
   * @param {HTMLElement} root the log
   * @param {(range: {first: number, last: number}, options: {address?: boolean}) => Promise} goTo `address`: it is not
   *   that of the page yet
   */
  constructor(root, goTo) {
    this.goTo = goTo;
    this.pane = root.querySelector("[data-log-pane]");
    this.field = root.querySelector("[name=around]");
    this.field.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const range = named({ hash: "", search: `?around=${this.field.value.replace(/[\s,.]/g, "")}` });
      if (range) goTo(range, { address: true });
    });
    window.addEventListener("hashchange", () => this.follow());
    document.addEventListener("click", (event) => this.#clicked(event));
  }

  focus() {
    this.field.focus();
    this.field.select();
  }

  /** Go where the page's address says; gives false when it says nothing. */
  async follow() {
    const range = named(window.location);
    if (range) await this.goTo(range, {});
    return Boolean(range);
  }

  /** Links to lines of this log from elsewhere on the page: without a script they ask the server for that line. */
  #clicked(event) {
    const link = event.target.closest("a[href*='#L']");
    if (!link || this.pane.contains(link) || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const range = link.pathname === window.location.pathname && named({ hash: link.hash, search: "" });
    if (!range) return;
    event.preventDefault();
    this.goTo(range, { address: true });
  }
}
