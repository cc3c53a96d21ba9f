/**
 * What a browser turns out not to show, a damaged image for one, is replaced by its icon.
 */

import { element } from "./dom.js";

const NOTE =
  "This image cannot be shown: it may be damaged, or of a kind that your browser does not know.";

for (const found of document.querySelectorAll("img[data-files-fallback]")) {
  const image = /** @type {HTMLImageElement} */ (found);
  const replace = () => {
    const { filesFallback } = image.dataset;
    if (!filesFallback) return; // the icon failed too
    delete image.dataset.filesFallback;
    image.src = filesFallback;
    const note = element("p", { class: "files-note", role: "status" }, NOTE);
    image.closest(".files-preview")?.append(note);
  };
  image.addEventListener("error", replace);
  // It may have failed before this module ran.
  if (image.complete && image.naturalWidth === 0) replace();
}
