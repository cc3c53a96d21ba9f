/**
 * Opens the upload of a source's page, `<details class="files-upload-here">`, when files are dragged
 * over the page, so that they can be dropped on it.
 */

import { holdsFiles } from "../upload/dropped-files.js";

document.addEventListener("dragenter", (event) => {
  if (!holdsFiles(event.dataTransfer)) return;
  for (const details of document.querySelectorAll("details.files-upload-here")) {
    /** @type {HTMLDetailsElement} */ (details).open = true;
  }
});
