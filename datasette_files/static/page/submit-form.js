/** Sends an ordinary form without leaving the page. Leaves out what happens then. */

import { explained } from "../shared/messages.js";
import { ApiError, requestJson } from "../shared/request.js";

/**
 * @param {HTMLFormElement} form
 * @returns {Promise<any>} The answer's JSON. Raises an Error whose message is for the reader.
 */
export async function submitForm(form) {
  const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  try {
    return await requestJson(form.action, { method: "POST", body });
  } catch (error) {
    const { status, message } = ApiError.from(error);
    // The error text of the server says what to do.
    throw new Error(status > 0 && message !== "" ? message : explained(error));
  }
}
