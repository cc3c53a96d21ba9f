/**
 * Forms that save in place: `<form data-files-save>` with a `.files-saved` beside its button, which
 * says how it went. Unsaved changes are not lost without a question.
 */

import { submitForm } from "./submit-form.js";

for (const element of document.querySelectorAll("form[data-files-save]")) {
  const form = /** @type {HTMLFormElement} */ (element);
  const status = /** @type {HTMLElement} */ (form.querySelector(".files-saved"));
  const written = () => new URLSearchParams(/** @type {any} */ (new FormData(form))).toString();
  let saved = written();
  let saving = false;

  form.addEventListener("input", () => {
    status.textContent = written() === saved ? "" : "Not saved yet";
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (saving) return;
    saving = true;
    status.textContent = "Saving …";
    const sent = written();
    try {
      await submitForm(form);
      saved = sent;
      status.textContent = written() === saved ? "Saved" : "Not saved yet";
    } catch (error) {
      status.textContent = `Not saved: ${/** @type {Error} */ (error).message}`;
    }
    saving = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (written() !== saved && !form.dataset.filesGone) event.preventDefault();
  });
}
