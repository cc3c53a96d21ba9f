/**
 * A file that is dropped on Datasette's page of a table, where no cell takes files: the page stays, and
 * says where files are added. Dialogs and our own elements are left out.
 */

import { element } from "../shared/dom.js";
import { holdsFiles } from "../upload/dropped-files.js";

const WORDS = "Files are added in the form of a row: choose “Edit row” at the row, or “Insert row”, and drop them there.";
/** Milliseconds that the words stay. */
const STAYS = 10_000;

export function listenToDrops() {
  const note = element("p", { class: "file-drop-note", role: "status" });
  let timer = 0;
  document.body.append(note);
  const beside = (/** @type {DragEvent} */ { dataTransfer, defaultPrevented, target }) =>
    holdsFiles(dataTransfer) &&
    !defaultPrevented &&
    !(target instanceof Element && target.closest("dialog, input[type=file], datasette-file-upload"));
  document.addEventListener("dragover", (event) => {
    if (beside(event)) event.preventDefault(); // else there is no drop, and the browser opens the file
  });
  document.addEventListener("drop", (event) => {
    if (!beside(event)) return;
    event.preventDefault();
    note.textContent = WORDS;
    clearTimeout(timer);
    timer = setTimeout(() => (note.textContent = ""), STAYS);
  });
}
