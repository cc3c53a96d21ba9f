/**
 * `<datasette-file-picker>`: choose files that are there, or upload some, in the page or in a dialog.
 * docs/file-picker.md says what it offers to those who embed it. What it shows is picker/panel.js's.
 */

import { define, element } from "./shared/dom.js";
import { FilesElement } from "./shared/files-element.js";
import { FileSources } from "./picker/sources.js";
import { PickerPanel } from "./picker/panel.js";

/** @import { FileRecord } from "./api.js" */
/**
 * Datasette's dialog (its modal.js).
 * @typedef {HTMLElement & {dialog: HTMLDialogElement, busy: boolean,
 *   beforeClose: ((source: string) => boolean) | null,
 *   show: (options: {returnFocusTo?: Element | null, initialFocus?: () => void}) => void,
 *   close: () => void, requestClose: (source: string) => boolean}} DatasetteModal
 */

const LEAVING = "Files are still being uploaded. Stop that, and close?";
/** Titles of dialogs have ids. */
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
    /** What the dialog closes with. @type {FileRecord[] | null} */
    this._result = null;
    /** Ends what `show` promised. @type {(files: FileRecord[] | null) => void} */
    this._settle = () => {};
    /** Ids that are not offered: those that are in the place already. @type {string[]} */
    this.taken = [];
  }

  /** The sources as they were fetched: pickers that share them ask once. */
  get sources() {
    this._sources ??= new FileSources(this.api);
    return this._sources;
  }

  set sources(sources) {
    this._sources = sources;
  }

  /** Whether it is a dialog, which `show` opens. */
  get modal() {
    return this.hasAttribute("modal");
  }

  get open() {
    return this._panel !== null;
  }

  /** Whether files are on their way. */
  get busy() {
    return this._panel?.busy ?? false;
  }

  /**
   * Open the dialog.
   * @param {{returnFocusTo?: HTMLElement | null}} [options] Where the focus goes in the end; where it
   *   is now by default.
   * @returns {Promise<FileRecord[] | null>} What was chosen; null when it is closed without.
   */
  show({ returnFocusTo = null } = {}) {
    if (!this.isConnected) throw new Error("The picker is not on the page");
    if (!this.modal || this.open) throw new Error("The picker is open, or no dialog");
    const panel = this._makePanel(() => this._dialog?.requestClose("cancel"));
    const title = element("span", { class: "modal-title", id: `files-picker-title-${(titles += 1)}` });
    title.textContent = this.getAttribute("label") ?? (this.multiple ? "Choose files" : "Choose a file");
    const modal = this._makeDialog();
    modal.dialog.className = "picker-dialog";
    modal.dialog.setAttribute("aria-labelledby", title.id);
    modal.dialog.append(element("div", { class: "modal-header" }, title), panel.element);
    this.append(modal);
    this._panel = panel;
    this._dialog = modal;
    modal.beforeClose = () => !this.busy || window.confirm(LEAVING);
    modal.dialog.addEventListener("close", (event) => {
      if (event.target === modal.dialog) this._closed();
    });
    const back = returnFocusTo ?? document.activeElement;
    modal.show({ returnFocusTo: back, initialFocus: () => panel.focus() });
    return new Promise((resolve) => {
      this._settle = resolve;
    });
  }

  /** Close the dialog, whatever it is doing. */
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

  /** @returns {DatasetteModal} Which every page of Datasette has. */
  _makeDialog() {
    const { DatasetteModal } = /** @type {any} */ (window);
    return DatasetteModal.create();
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
