/**
 * Takes files that are dropped anywhere on a page of files: the upload of a source's page gets them
 * (its element has `data-files-drop`), also while it is closed, for the folder that they are dropped on,
 * else for the one that is shown. A page that cannot take them says where to drop them; without that the
 * browser would leave the page.
 */

import { element } from "../shared/dom.js";
import { holdsFiles } from "../upload/dropped-files.js";

/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */

/** Places that take files by themselves. */
const TAKERS = "datasette-file-upload, datasette-file-picker, dialog";
const note = element("p", { class: "files-drop-note", role: "status" });

function uploader() {
  const found = document.querySelector("datasette-file-upload[data-files-drop]");
  return /** @type {DatasetteFileUpload | null} */ (found);
}

/** The link of the folder at this place. @param {EventTarget | null} target */
function folderLink(target) {
  const link = target instanceof Element ? target.closest("#files-places a") : null;
  return link instanceof HTMLAnchorElement && new URL(link.href).searchParams.has("folder") ? link : null;
}

/** @param {DragEvent} event @returns {boolean} Whether files are over a place that does not take them. */
function beside({ dataTransfer, target }) {
  if (!holdsFiles(dataTransfer)) return false;
  return !(target instanceof Element && target.closest(TAKERS));
}

/** @param {Element | null} link */
function mark(link) {
  for (const old of document.querySelectorAll("[data-files-over]")) {
    if (old !== link) old.removeAttribute("data-files-over");
  }
  link?.setAttribute("data-files-over", "");
}

/** Before the places themselves, which prevent what is dropped beside them. */
const first = { capture: true };

document.addEventListener("dragover", (event) => {
  if (!beside(event) || event.dataTransfer === null) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = uploader() ? "copy" : "none";
  mark(folderLink(event.target));
  if (uploader()) return;
  note.textContent = "Files are uploaded on the page of a source. Open one that you may upload to, and drop them there.";
  if (!note.isConnected) document.querySelector("main")?.prepend(note);
}, first);
document.addEventListener("dragleave", () => mark(null));
document.addEventListener("drop", (event) => {
  mark(null);
  if (!beside(event) || event.dataTransfer === null) return;
  event.preventDefault();
  const over = folderLink(event.target);
  const shown = new URL(over ? over.href : location.href).searchParams.get("folder");
  uploader()?.drop(event.dataTransfer, shown ?? "");
}, first);
