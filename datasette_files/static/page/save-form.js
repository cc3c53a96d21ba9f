/**
 * Forms that save a text in place: `<form data-files-save>` with a textarea, a hidden `if_match` that
 * names the version that was edited, and a `.files-saved` for the outcome. The browser asks before it
 * leaves a page with unsaved changes.
 */

import { submitForm } from "./submit-form.js";

for (const element of document.querySelectorAll("form[data-files-save]")) {
  const form = /** @type {HTMLFormElement} */ (element);
  const status = /** @type {HTMLElement} */ (form.querySelector(".files-saved"));
  const box = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
  const seen = /** @type {HTMLInputElement} */ (form.elements.namedItem("if_match"));
  // The text of the server: browsers may restore a text that was typed before a reload.
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
