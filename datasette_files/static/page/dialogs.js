/**
 * Turns a disclosure that asks for a confirmation, `<details data-files-dialog>` with one form, into a
 * button and a dialog of Datasette (its modal.js): Escape, the backdrop and Cancel close it, the focus
 * returns to the button, and nothing closes it while the form is sent.
 *
 * The form is sent without leaving the page, so that the dialog can show an error. After a success the
 * page opens that the answer names, else that of `data-files-after`.
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
  // Cancel has the focus, so that Enter alone deletes nothing.
  opener.addEventListener("click", () => modal.show({ returnFocusTo: opener, initialFocus: cancel }));
  cancel.addEventListener("click", () => modal.requestClose("cancel"));
  dialog.addEventListener("close", () => {
    problem.hidden = true;
  });
  // After Back, the browser may show a kept page whose file is gone and whose dialog still waits.
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
      // Unsaved text about a deleted file must not hold the page.
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
