/** Single keys for the log, off inside fields and dialogs; and the dialog that tells which there are. */

function isTyping(target) {
  return target.closest("input, textarea, select, dialog, [contenteditable]") !== null;
}

export class Keys {
  /**
   * @param {HTMLElement} root the log
   * @param {Object<string, () => void>} actions by key
   */
  constructor(root, actions) {
    this.dialog = root.querySelector("[data-log-keys]");
    root.querySelector("[data-log-keys-open]").addEventListener("click", () => this.dialog.showModal());
    root.querySelector("[data-log-keys-close]").addEventListener("click", () => this.dialog.close());
    // A click beside it.
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.actions = { ...actions, "?": () => this.dialog.showModal() };
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const action = Object.hasOwn(this.actions, event.key) && this.actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
