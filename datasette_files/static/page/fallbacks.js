/** Replaces a preview that the browser cannot show, such as a damaged image, by the file's icon. */

import { element } from "../shared/dom.js";
import { TEXT } from "../shared/messages.js";

/** @param {HTMLElement} shown */
function tell(shown) {
  const note = element("p", { class: "files-note", role: "status" }, TEXT.notShown);
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
    // An audio player has its icon above it already.
    const icon = { src: filesFallback ?? "", alt: "", width: "200", height: "200" };
    if (filesFallback) player.replaceWith(element("img", icon));
    else player.remove();
  };
  player.addEventListener("error", replace, { once: true });
  if (player.error) replace();
}
