/**
 * The upload on a source's page, `<details class="files-upload-here">`, opens when files are dragged
 * over the page, so that they can be dropped on it.
 */

document.addEventListener("dragenter", (event) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  for (const details of document.querySelectorAll("details.files-upload-here")) {
    /** @type {HTMLDetailsElement} */ (details).open = true;
  }
});
