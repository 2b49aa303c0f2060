/** A button beside each command that puts it on the clipboard. Without this script a click selects all of it. */

const SHOWN_MS = 3000;

function addButton(code) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button console-copy";
  button.textContent = "Copy";
  const status = document.createElement("span");
  status.setAttribute("role", "status");
  status.className = "visually-hidden";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent.trim());
      button.textContent = "Copied";
    } catch {
      // Over plain HTTP, or where it is forbidden: select it, so that the keyboard can copy it.
      window.getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    status.textContent = button.textContent;
    window.setTimeout(() => { button.textContent = "Copy"; status.textContent = ""; }, SHOWN_MS);
  });
  code.after(button, status);
}

document.querySelectorAll("[data-copy]").forEach(addButton);
