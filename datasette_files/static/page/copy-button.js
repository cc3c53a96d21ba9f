/**
 * Buttons that copy: `<button data-files-copy="the text">`. The button shows the outcome for a moment,
 * and #files-status tells it to screen readers.
 */

import { copyFrom } from "../shared/clipboard.js";

for (const element of document.querySelectorAll("button[data-files-copy]")) {
  const button = /** @type {HTMLButtonElement} */ (element);
  const what = button.textContent?.replace(/^Copy /, "");
  button.addEventListener("click", async () => {
    await copyFrom(button, button.dataset.filesCopy ?? "");
    const status = document.getElementById("files-status");
    if (status) status.textContent = `${button.textContent}: ${what}`;
  });
}
