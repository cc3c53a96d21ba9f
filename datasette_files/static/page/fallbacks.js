/**
 * Replaces a preview that the browser cannot show, such as a damaged image, by the file's icon. Other modules
 * dispatch `datasette-files-shown` after they have added a preview.
 */

import { element } from "../shared/dom.js";
import { TEXT } from "../shared/messages.js";

/** Previews that are watched. @type {WeakSet<Element>} */
const watched = new WeakSet();

/** @param {HTMLElement} shown */
function tell(shown) {
  const note = element("p", { class: "files-note", role: "status" }, TEXT.notShown);
  shown.closest(".files-preview")?.append(note);
}

/** @param {HTMLImageElement} image */
function watchImage(image) {
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

/** @param {HTMLMediaElement} player */
function watchPlayer(player) {
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

function look() {
  for (const found of document.querySelectorAll("[data-files-fallback]")) {
    if (watched.has(found)) continue;
    watched.add(found);
    if (found instanceof HTMLImageElement) watchImage(found);
    else watchPlayer(/** @type {HTMLMediaElement} */ (found));
  }
}

look();
document.addEventListener("datasette-files-shown", look);
