/**
 * The place where files are dropped, pasted or chosen. Leaves out what happens to them: `take` gets
 * them in batches.
 */

import { button, element, icon } from "../shared/dom.js";
import { batches, chosenFiles, droppedFiles, holdsFiles } from "./dropped-files.js";
import { patternsOf } from "./rules.js";

/** @import { Addition } from "./queue.js" */

/** Patterns of an `accept` that match a camera's pictures. */
const PHOTOS = new Set(["*/*", "image/*", "image/jpeg", "image/jpg", ".jpg", ".jpeg"]);
/** Elements that people paste into; files pasted there are not uploaded. */
const EDITABLE = "input, textarea, select, [contenteditable]";

export class UploadZone {
  /**
   * @param {HTMLElement} host The element that takes dropped files.
   * @param {{note: string, accept: string, multiple: boolean, compact: boolean,
   *   take: (batches: AsyncIterable<Addition[]>) => void}} options `compact`: one of several
   *   controls, so its button says "Upload", and no folder can be chosen.
   */
  constructor(host, { note, accept, multiple, compact, take }) {
    this._host = host;
    this._take = take;
    const files = this._input({ multiple, accept });
    const verb = compact ? "Upload" : "Choose";
    const choose = button(multiple ? `${verb} files` : `${verb} a file`, () => files.click());
    if (!compact) choose.classList.add("upload-primary");
    const choosers = element("div", { class: "upload-choosers" }, choose, files);
    if (takesPhotos(accept)) {
      const photo = this._input({ accept: "image/*", capture: "environment" });
      const camera = { class: "upload-button upload-camera" };
      choosers.append(button("Take a photo", () => photo.click(), camera), photo);
    }
    if (multiple && !compact) {
      const folder = this._input({ multiple, webkitdirectory: true });
      choosers.append(button("Choose a folder", () => folder.click()), folder);
    }
    const dropped = dropHint(multiple, compact);
    this._button = choose;
    this.element = element(
      "div",
      { class: "upload-zone" },
      icon("upload"),
      element("p", { class: "upload-heading upload-hint" }, `${dropped}, or paste`),
      choosers,
      element("p", { class: "upload-note" }, note),
    );
  }

  focus() {
    this._button.focus();
  }

  /** Whether the text fields around it belong to the same form or picker. */
  get _amongFields() {
    return this._host.closest("[compact], datasette-file-picker") !== null;
  }

  /** @param {AbortSignal} signal Ends the listening. */
  listen(signal) {
    const dragged = (/** @type {DragEvent} */ event) => this._dragged(event);
    for (const type of /** @type {const} */ (["dragenter", "dragover", "dragleave", "drop"])) {
      this._host.addEventListener(type, dragged, { signal });
    }
    // A file dropped beside the zone would replace the page and end all uploads.
    const missed = (/** @type {DragEvent} */ event) => {
      if (event.defaultPrevented || !holdsFiles(event.dataTransfer)) return;
      event.preventDefault();
      if (event.dataTransfer) event.dataTransfer.dropEffect = "none";
    };
    document.addEventListener("dragover", missed, { signal });
    document.addEventListener("drop", missed, { signal });
    document.addEventListener("paste", (event) => this._pasted(event), { signal });
  }

  /** @param {DragEvent} event */
  _dragged(event) {
    const { dataTransfer } = event;
    if (dataTransfer === null || !holdsFiles(dataTransfer)) return;
    event.preventDefault();
    const inside = event.relatedTarget instanceof Node && this._host.contains(event.relatedTarget);
    const over = event.type === "dragenter" || event.type === "dragover" || inside;
    this._host.toggleAttribute("data-dragging", over && event.type !== "drop");
    if (event.type === "dragover") dataTransfer.dropEffect = "copy";
    if (event.type === "drop") this._take(droppedFiles(dataTransfer));
  }

  /** @param {ClipboardEvent} event */
  _pasted(event) {
    const { clipboardData, target } = event;
    if (clipboardData === null || !holdsFiles(clipboardData) || event.defaultPrevented) return;
    const inside = target instanceof Node && this._host.contains(target);
    if (!inside && (isForField(event, this._amongFields) || !this._isFirst(target))) return;
    event.preventDefault();
    this._take(droppedFiles(clipboardData));
  }

  /**
   * Whether this element takes files that were pasted outside of all such elements: it is the first
   * one in the group of controls that has the focus, else in the open dialog, else on the page.
   * @param {EventTarget | null} target
   */
  _isFirst(target) {
    const { localName } = this._host;
    const at = target instanceof Element ? target : document.body;
    const group = at.closest(`:is([role=group], fieldset):has(${localName})`);
    const dialog = at.closest("dialog") ?? [...document.querySelectorAll("dialog:modal")].at(-1);
    return (group ?? dialog ?? document).querySelector(localName) === this._host;
  }

  /** @param {Record<string, string | boolean>} attributes */
  _input(attributes) {
    const input = element("input", { type: "file", hidden: true, ...attributes });
    input.addEventListener("change", () => {
      const chosen = chosenFiles(input.files ?? []);
      // Otherwise choosing the same file again would be no change.
      input.value = "";
      this._take(batches(chosen));
    });
    return input;
  }
}

/**
 * Whether a paste is meant for a field that is edited. A text field of the same form or picker has no
 * use for files, so files pasted into it are uploaded.
 * @param {ClipboardEvent} event @param {boolean} among Whether the fields around belong to one task.
 */
function isForField({ clipboardData, target }, among) {
  const field = target instanceof Element ? target.closest(EDITABLE) : null;
  if (field === null) return false;
  const plain = !field.hasAttribute("contenteditable");
  return !(among && plain && clipboardData?.types.every((type) => type === "Files"));
}

/** @param {string} accept @returns {boolean} Whether it matches a camera's pictures. */
function takesPhotos(accept) {
  const patterns = patternsOf(accept);
  return patterns.length === 0 || patterns.some((pattern) => PHOTOS.has(pattern));
}

/** @param {boolean} multiple @param {boolean} compact */
function dropHint(multiple, compact) {
  if (!multiple) return "Drop a file here";
  return compact ? "Drop files here" : "Drop files or folders here";
}
