/** Questions to the server, with an ETag so that "nothing new" costs next to nothing. */

/** The session ended: the login page was answered instead. */
export class SignedOut extends Error {}

/** The server said no, or something went wrong there. */
export class Refused extends Error {
  constructor(status) {
    super(`The server answered ${status}.`);
    this.status = status;
  }
}

/**
 * GET a page of ours.
 *
 * @param {string} url
 * @param {{etag?: string, live?: boolean, signal?: AbortSignal}} options
 * @returns {Promise<{status: number, etag: string, text: () => Promise<string>, json: () => Promise<any>}>}
 * @throws {SignedOut|Refused|TypeError} the last when the network is down
 */
export async function ask(url, { etag = "", live = false, signal } = {}) {
  const headers = { "X-Requested-With": "fetch" };
  if (etag) headers["If-None-Match"] = etag;
  if (live) headers["X-Console-Live"] = "1";
  const answer = await fetch(url, { headers, credentials: "same-origin", cache: "no-store", signal });
  if (answer.redirected) throw new SignedOut();
  if (!answer.ok && answer.status !== 304) throw new Refused(answer.status);
  return {
    status: answer.status,
    etag: answer.headers.get("ETag") || "",
    text: () => answer.text(),
    json: () => answer.json(),
  };
}
