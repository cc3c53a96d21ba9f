/**
 * Forms that save a text in place: `<form data-files-save>` with a textarea, the hidden `if_match`
 * that tells which state of the text was changed, and a `.files-saved` that says how it went.
 * Unsaved changes are not lost without a question.
 */

import { submitForm } from "./submit-form.js";

for (const element of document.querySelectorAll("form[data-files-save]")) {
  const form = /** @type {HTMLFormElement} */ (element);
  const status = /** @type {HTMLElement} */ (form.querySelector(".files-saved"));
  const box = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
  const seen = /** @type {HTMLInputElement} */ (form.elements.namedItem("if_match"));
  // What the server sent: the browser may have filled in what was typed before a reload.
  let saved = box.defaultValue;
  let saving = false;
  const tell = () => {
    status.textContent = box.value === saved ? "" : "Not saved yet";
  };

  tell();
  form.addEventListener("input", tell);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (saving) return;
    saving = true;
    status.textContent = "Saving …";
    const sent = box.value;
    try {
      seen.value = (await submitForm(form)).if_match;
      saved = sent;
      status.textContent = box.value === saved ? "Saved" : "Not saved yet";
    } catch (error) {
      status.textContent = `Not saved: ${/** @type {Error} */ (error).message}`;
    }
    saving = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (box.value !== saved && !form.dataset.filesGone) event.preventDefault();
  });
}
