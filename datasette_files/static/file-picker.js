/**
 * `<datasette-file-picker>`: choose stored files or upload new ones, in the page or in a dialog.
 * docs/file-picker.md documents it for those who embed it. Its content is in picker/panel.js.
 */

import { PickerPanel } from "./picker/panel.js";
import { FileSources } from "./picker/sources.js";
import { define, element } from "./shared/dom.js";
import { FilesElement } from "./shared/files-element.js";
import { TEXT } from "./shared/messages.js";

/** @import { FileRecord } from "./api.js" */
/**
 * Datasette's dialog (its modal.js).
 * @typedef {HTMLElement & {dialog: HTMLDialogElement, busy: boolean,
 *   beforeClose: ((source: string) => boolean) | null,
 *   show: (options: {returnFocusTo?: Element | null, initialFocus?: () => void}) => void,
 *   close: () => void, requestClose: (source: string) => boolean}} DatasetteModal
 */

/** Dialogs made so far; part of the ids of their titles. */
let titles = 0;

export class DatasetteFilePicker extends FilesElement {
  constructor() {
    super();
    /** @type {FileSources | null} */
    this._sources = null;
    /** @type {PickerPanel | null} */
    this._panel = null;
    /** @type {DatasetteModal | null} */
    this._dialog = null;
    /** The result of the dialog. @type {FileRecord[] | null} */
    this._result = null;
    /** Resolves the promise of `show`. @type {(files: FileRecord[] | null) => void} */
    this._settle = () => {};
    /** Ids that are not offered, as the place has them already. @type {string[]} */
    this.taken = [];
  }

  /** The sources; pickers that share this object fetch them once. */
  get sources() {
    this._sources ??= new FileSources(this.api);
    return this._sources;
  }

  set sources(sources) {
    this._sources = sources;
  }

  /** Whether `show` opens it as a dialog. */
  get modal() {
    return this.hasAttribute("modal");
  }

  get open() {
    return this._panel !== null;
  }

  /** Whether files are being uploaded. */
  get busy() {
    return this._panel?.busy ?? false;
  }

  /**
   * Open the dialog.
   * @param {{returnFocusTo?: HTMLElement | null}} [options] Gets the focus in the end; by default
   *   the element that has it now.
   * @returns {Promise<FileRecord[] | null>} The chosen files; null when it is closed without.
   */
  show({ returnFocusTo = null } = {}) {
    if (!this.isConnected) throw new Error("The picker is not on the page");
    if (!this.modal || this.open) throw new Error("The picker is open, or no dialog");
    const panel = this._makePanel(() => this._dialog?.requestClose("cancel"));
    const title = element("span", { class: "modal-title", id: `files-picker-title-${(titles += 1)}` });
    title.textContent = this.getAttribute("label") ?? (this.multiple ? "Choose files" : "Choose a file");
    // Every page of Datasette loads it.
    const modal = /** @type {DatasetteModal} */ (/** @type {any} */ (window).DatasetteModal.create());
    modal.dialog.className = "picker-dialog";
    modal.dialog.setAttribute("aria-labelledby", title.id);
    modal.dialog.append(element("div", { class: "modal-header" }, title), panel.element);
    this.append(modal);
    this._panel = panel;
    this._dialog = modal;
    modal.beforeClose = () => !this.busy || window.confirm(TEXT.leaving);
    modal.dialog.addEventListener("close", (event) => {
      if (event.target === modal.dialog) this._closed();
    });
    const back = returnFocusTo ?? document.activeElement;
    modal.show({ returnFocusTo: back, initialFocus: () => panel.focus() });
    return new Promise((resolve) => {
      this._settle = resolve;
    });
  }

  /** Close the dialog; uploads that run are cancelled. */
  close() {
    this._dialog?.close();
  }

  connectedCallback() {
    if (this.modal || this.open) return;
    this._panel = this._makePanel(null);
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", this.getAttribute("label") ?? "Files");
    this.append(this._panel.element);
  }

  _removed() {
    this._closed();
  }

  /** @param {(() => void) | null} cancel */
  _makePanel(cancel) {
    return new PickerPanel(this.api, this.sources, {
      source: this.source,
      accept: this._accept,
      maxSize: this._maxSize,
      multiple: this.multiple,
      taken: new Set(this.taken),
      column: this.column,
      choose: (files) => this._chosen(files),
      cancel,
    });
  }

  /** @param {FileRecord[]} files */
  _chosen(files) {
    if (this._dialog === null) return this._tell("datasette-files-chosen", { files });
    this._panel?.stop();
    this._result = files;
    this._dialog.close();
  }

  /** The dialog is closed, and has given the focus back. */
  _closed() {
    const [files, settle] = [this._result, this._settle];
    this._panel?.stop();
    this._panel?.element.remove();
    this._panel = null;
    this._dialog?.remove();
    this._dialog = null;
    this._result = null;
    this._settle = () => {};
    if (files !== null) this._tell("datasette-files-chosen", { files });
    settle(files);
  }
}

define("datasette-file-picker", DatasetteFilePicker);
