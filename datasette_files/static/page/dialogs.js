/**
 * Turns a disclosure that asks for a confirmation, `<details data-files-dialog>` with one form, into
 * a button and a dialog with Datasette's manners (its modal.js): Escape, the backdrop and Cancel
 * close it, focus comes back to the button, nothing closes it while it works.
 *
 * The form is sent without leaving the page, so that an error is told in the dialog; then the page
 * that the answer names follows, else that of `data-files-after`.
 */

import { element } from "../shared/dom.js";
import { submitForm } from "./submit-form.js";

/** @param {HTMLDetailsElement} details */
function enhance(details) {
  const form = details.querySelector("form");
  const summary = details.querySelector("summary");
  if (!form || !summary || !window.DatasetteModal) return;
  const modal = window.DatasetteModal.create();
  const { dialog } = modal;
  dialog.className = "files-dialog";
  dialog.setAttribute("aria-labelledby", form.querySelector(".modal-title")?.id ?? "");
  dialog.setAttribute("aria-describedby", form.querySelector(".modal-body")?.id ?? "");
  dialog.append(form);

  const opener = element(
    "button",
    { type: "button", class: summary.className, "aria-haspopup": "dialog" },
    summary.textContent ?? "",
  );
  const place = element("p", { class: details.className }, opener);
  details.replaceWith(place);
  document.body.append(modal);

  const cancel = /** @type {HTMLElement} */ (form.querySelector("[data-files-cancel]"));
  const problem = /** @type {HTMLElement} */ (form.querySelector(".files-problem"));
  const confirm = /** @type {HTMLButtonElement} */ (form.querySelector("button:not([type])"));
  // What cannot be undone is not what Enter does by itself: Cancel has the focus.
  opener.addEventListener("click", () => modal.show({ returnFocusTo: opener, initialFocus: cancel }));
  cancel.addEventListener("click", () => modal.requestClose("cancel"));
  dialog.addEventListener("close", () => {
    problem.hidden = true;
  });
  // Back to a page that the browser kept: its file is gone, and its dialog still works.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted && modal.busy) location.reload();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (modal.busy) return;
    modal.busy = true;
    confirm.disabled = true;
    problem.hidden = true;
    try {
      const answer = await submitForm(form);
      // Text that was typed about what is gone is no reason to stay.
      for (const other of document.forms) other.dataset.filesGone = "";
      location.assign(answer.after_url ?? form.dataset.filesAfter ?? location.href);
    } catch (error) {
      modal.busy = false;
      confirm.disabled = false;
      problem.textContent = /** @type {Error} */ (error).message;
      problem.hidden = false;
      confirm.focus();
    }
  });
}

for (const details of document.querySelectorAll("details[data-files-dialog]")) {
  enhance(/** @type {HTMLDetailsElement} */ (details));
}
