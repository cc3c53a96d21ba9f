/**
 * Sends an ordinary form without leaving the page. Leaves out what is then shown.
 */

/**
 * @param {HTMLFormElement} form
 * @returns {Promise<any>} The answer's JSON. Raises an Error whose message is for the reader.
 */
export async function submitForm(form) {
  let response, answer;
  try {
    response = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(/** @type {any} */ (new FormData(form))),
    });
    answer = await response.json();
  } catch {
    throw new Error("The server did not answer. Check your connection, and try again.");
  }
  if (!response.ok || answer.ok !== true) {
    throw new Error(answer.error ?? "This failed; try again, or reload the page.");
  }
  return answer;
}
