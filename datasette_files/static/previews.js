/**
 * What a browser turns out not to show, a damaged image for one, is replaced by its icon.
 */

for (const element of document.querySelectorAll("img[data-files-fallback]")) {
  const image = /** @type {HTMLImageElement} */ (element);
  const replace = () => {
    const fallback = image.dataset.filesFallback ?? "";
    if (!fallback) return;
    delete image.dataset.filesFallback;
    image.src = fallback;
    const note = document.createElement("p");
    note.className = "files-note";
    note.setAttribute("role", "status");
    note.textContent = "This image cannot be shown: it may be damaged, or of a kind that your browser does not know.";
    image.closest(".files-preview")?.append(note);
  };
  image.addEventListener("error", replace);
  // It may have failed before this module ran.
  if (image.complete && image.naturalWidth === 0) replace();
}
