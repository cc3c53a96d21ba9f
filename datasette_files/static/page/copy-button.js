/**
 * Buttons that copy: `<button data-files-copy="the text">Copy …</button>`. The button shows the outcome for a
 * moment, and #files-status tells it to screen readers.
 */

import { copyFrom } from "../shared/clipboard.js";

document.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("button[data-files-copy]") : null;
  const what = button?.textContent?.match(/^Copy (.*)/)?.[1];
  // Without it the button shows an outcome.
  if (!(button instanceof HTMLButtonElement) || what === undefined) return;
  await copyFrom(button, button.dataset.filesCopy ?? "");
  const status = document.getElementById("files-status");
  if (status) status.textContent = `${button.textContent}: ${what}`;
});
