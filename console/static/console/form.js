/**
 * The form of a run: the browser asks for what is missing before anything is sent.
 *
 * What is required depends on what is chosen to be done, which a page alone cannot say; so without this script the
 * server asks for it.
 */

/** @param {HTMLFormElement} form */
export function follow(form) {
  const dependent = form.querySelectorAll("[data-needed-for]");
  const fit = () => {
    const kind = form.elements.kind?.value ?? "";
    for (const field of dependent) field.required = field.dataset.neededFor.split(" ").includes(kind);
  };
  form.addEventListener("change", fit);
  fit();
  form.noValidate = false;
}

document.querySelectorAll("[data-run-form]").forEach(follow);
