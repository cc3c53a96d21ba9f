/**
 * What a browser turns out not to show, a damaged image for one, is replaced by its icon.
 */

import { element } from "../shared/dom.js";

const NOTE =
  "This file cannot be shown: it may be damaged, of a kind that your browser does not know, or out of reach for now.";

/** @param {HTMLElement} shown */
function tell(shown) {
  const note = element("p", { class: "files-note", role: "status" }, NOTE);
  shown.closest(".files-preview")?.append(note);
}

for (const found of document.querySelectorAll("img[data-files-fallback]")) {
  const image = /** @type {HTMLImageElement} */ (found);
  const replace = () => {
    const { filesFallback } = image.dataset;
    if (!filesFallback) return; // the icon failed too
    delete image.dataset.filesFallback;
    image.src = filesFallback;
    tell(image);
  };
  image.addEventListener("error", replace);
  // It may have failed before this module ran.
  if (image.complete && image.naturalWidth === 0) replace();
}
for (const found of document.querySelectorAll(":is(audio, video)[data-files-fallback]")) {
  const player = /** @type {HTMLMediaElement} */ (found);
  const replace = () => {
    const { filesFallback } = player.dataset;
    tell(player);
    // A player of sound has its icon above it already.
    const icon = { src: filesFallback ?? "", alt: "", width: "200", height: "200" };
    if (filesFallback) player.replaceWith(element("img", icon));
    else player.remove();
  };
  player.addEventListener("error", replace, { once: true });
  if (player.error) replace();
}
