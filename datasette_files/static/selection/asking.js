/**
 * The dialog before a bulk action: the server's own page that asks, with its names and fields
 * (bulk_ask.html), shown in a dialog of Datasette. Leaves out when to ask.
 */

import { explained } from "../shared/messages.js";
import { ApiError, request } from "../shared/request.js";

/**
 * @param {URLSearchParams} fields @param {string} url
 * @returns {Promise<HTMLFormElement>} Raises ApiError.
 */
export async function fetchQuestion(fields, url) {
  const headers = { Accept: "text/html" };
  const { status, text } = await request(url, { method: "POST", body: fields, headers });
  const page = new DOMParser().parseFromString(text, "text/html");
  const form = page.querySelector("form[data-files-ask]");
  if (!form) throw ApiError.of(status, "");
  return /** @type {HTMLFormElement} */ (document.importNode(form, true));
}

/**
 * Show the form until it is sent or closed.
 * @param {HTMLFormElement} form
 * @param {HTMLElement} opener Gets the focus back if nothing is sent.
 * @param {(fields: URLSearchParams) => Promise<void>} send An error that it raises is shown.
 * @param {() => void} sent Called once the dialog is closed.
 */
export function ask(form, opener, send, sent) {
  const modal = window.DatasetteModal.create();
  const { dialog } = modal;
  dialog.className = "files-dialog";
  dialog.setAttribute("aria-labelledby", "files-ask-title");
  dialog.append(form);
  document.body.append(modal);
  const cancel = /** @type {HTMLElement} */ (form.querySelector("[data-files-cancel]"));
  const problem = /** @type {HTMLElement} */ (form.querySelector(".files-problem"));
  const confirm = /** @type {HTMLButtonElement | null} */ (form.querySelector("button"));
  const first = /** @type {HTMLElement | null} */ (
    form.querySelector(":is(input, select):not([type=hidden])")
  );
  cancel.addEventListener("click", (event) => {
    event.preventDefault();
    modal.requestClose("cancel");
  });
  dialog.addEventListener("close", () => modal.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (modal.busy || !confirm) return;
    modal.busy = confirm.disabled = true;
    problem.hidden = true;
    try {
      await send(new URLSearchParams(/** @type {any} */ (new FormData(form))));
      modal.busy = false;
      modal.close({ restoreFocus: false });
      sent();
    } catch (error) {
      modal.busy = confirm.disabled = false;
      const { message } = /** @type {Error} */ (error);
      problem.textContent = message || explained(error);
      problem.hidden = false;
      confirm.focus();
    }
  });
  // Without a field, Cancel has the focus, so that Enter alone deletes nothing.
  modal.show({ returnFocusTo: opener, initialFocus: first ?? cancel });
}
