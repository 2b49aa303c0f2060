/**
 * Keeps parts of a page fresh.
 *
 * The page asks for itself again, with its query, and exchanges the elements marked `data-live` whose
 * content changed. Without this script the page is the same, only still.
 */
import { SignedOut, ask } from "./ask.js";

const ACTIVE_MS = 2000;
const IDLE_MS = 30000;
const seen = new Map();
let etag = "";
let timer = 0;
let busy = false;

function isActive() {
  return document.querySelector("[data-live-active]") !== null;
}

function exchange(current, fresh) {
  const focused = current.contains(document.activeElement) ? document.activeElement : null;
  const open = new Set([...current.querySelectorAll("details[open][id]")].map((details) => details.id));
  const checked = new Set([...current.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value));
  current.replaceWith(fresh);
  open.forEach((id) => fresh.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", ""));
  fresh.querySelectorAll("input[type=checkbox]").forEach((box) => { box.checked = checked.has(box.value); });
  if (!focused) return;
  const same = focused.id
    ? document.getElementById(focused.id)
    : [...fresh.querySelectorAll(focused.tagName)].find((element) =>
        element.getAttribute("href") === focused.getAttribute("href") && element.textContent === focused.textContent);
  same?.focus({ preventScroll: true });
}

/** Exchange what changed; gives the text of the announcement that came with it, if any. */
function update(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const element of fresh.querySelectorAll("[data-live]")) {
    const current = document.getElementById(element.id);
    const before = seen.get(element.id) ?? current?.outerHTML;
    seen.set(element.id, element.outerHTML);
    if (!current || before === element.outerHTML) continue;
    exchange(current, document.importNode(element, true));
    // What was said of the state before is over.
    if (element.id === "console-state") document.querySelector("main > .messagelist")?.remove();
  }
  // A row that came or went changes the page as a whole.
  const ids = (root) => [...root.querySelectorAll("tr[data-live]")].map((row) => row.id).join();
  if (ids(fresh) !== ids(document)) {
    const body = document.querySelector("[data-live-rows]");
    const freshBody = fresh.querySelector("[data-live-rows]");
    if (body && freshBody) exchange(body, document.importNode(freshBody, true));
    else window.location.reload();
  }
}

async function refresh() {
  if (busy || document.hidden) return;
  busy = true;
  try {
    const answer = await ask(window.location.pathname + window.location.search, { etag, live: true });
    if (answer.status === 200) {
      etag = answer.etag;
      update(await answer.text());
      document.dispatchEvent(new CustomEvent("console:refreshed"));
    }
  } catch (error) {
    if (error instanceof SignedOut) return;
  } finally {
    busy = false;
  }
  plan();
}

function plan() {
  window.clearTimeout(timer);
  timer = window.setTimeout(refresh, isActive() ? ACTIVE_MS : IDLE_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("console:refresh", refresh);
plan();
