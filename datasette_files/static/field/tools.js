/**
 * How files come to a field: the button that opens the picker, and the upload in place, to whichever
 * sources are open to this person. Leaves out what becomes of them (control.js).
 */

import "../file-picker.js";
import { button, element } from "../shared/dom.js";
import { usable } from "../picker/sources.js";
import { counted } from "../shared/format.js";
import { explained } from "../shared/messages.js";
import { makeUploader } from "../picker/uploader.js";

/** @import { FileRecord, FilesApi, SourceRecord } from "../api.js" */
/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */
/** @import { DatasetteFilePicker } from "../file-picker.js" */
/** @import { FileSources } from "../picker/sources.js" */
/** @import { Limits } from "../picker/uploader.js" */

const NOTHING = "You may neither choose a file here nor upload one: ask the administrator.";

export class FieldTools {
  /**
   * @param {FilesApi} api
   * @param {FileSources} sources
   * @param {{limits: Limits, several: boolean, choose: () => void,
   *   uploaded: (file: FileRecord) => void, state: () => void, ready: () => void}} options `state`
   *   hears when an upload begins, fails or is over; `ready` when there is something to press.
   */
  constructor(api, sources, options) {
    this._api = api;
    this._sources = sources;
    this._options = options;
    this._ended = false;
    /** @type {DatasetteFileUpload | null} */
    this._upload = null;
    /** @type {DatasetteFilePicker | null} */
    this._picker = null;
    const text = options.several ? "Choose files" : "Choose a file";
    this._choose = button(text, options.choose, { "aria-haspopup": "dialog" });
    this.element = element("div", { class: "files-field-tools" });
    this._offer();
  }

  /** Why a row cannot be saved now, or "". */
  get blocker() {
    if (this._upload?.busy) {
      return "A file is still being uploaded. Wait until it is done, or cancel it; then save.";
    }
    const failed = this._upload?.failed ?? 0;
    if (failed === 0) return "";
    return `${counted(failed, "file")} could not be uploaded. Try again or remove it; then save.`;
  }

  /** Whether the button that chooses is wanted; of one file there is Replace. @param {boolean} offered */
  offerChoice(offered) {
    this._choose.hidden = !offered;
  }

  /** To what can be done about the upload. */
  focusUpload() {
    const row = this._upload?.querySelector(".upload-row button");
    const button = row ?? this._upload?.querySelector("button");
    if (button instanceof HTMLElement) button.focus();
  }

  /** The dialog is closed: what is on its way is for nobody. */
  destroy() {
    this._ended = true;
    this._picker?.remove();
    this._upload?.remove();
  }

  /**
   * Open the picker.
   * @param {boolean} multiple @param {string[]} taken The ids that are not offered.
   * @returns {Promise<FileRecord[] | null>} Null for none.
   */
  async pick(multiple, taken) {
    if (this._picker !== null) return null;
    const { source, accept, maxSize, column } = this._options.limits;
    const picker = /** @type {DatasetteFilePicker} */ (
      element(/** @type {any} */ ("datasette-file-picker"), { modal: true, source, accept, multiple })
    );
    if (maxSize !== null) picker.setAttribute("max-size", String(maxSize));
    picker.api = this._api;
    picker.sources = this._sources;
    picker.taken = taken;
    picker.column = column;
    this._picker = picker;
    // Not in the form: its fields are none of the row's.
    document.body.append(picker);
    try {
      const files = await picker.show();
      return this._ended ? null : files;
    } finally {
      this._picker = null;
      picker.remove();
    }
  }

  async _offer() {
    let sources;
    try {
      sources = await this._sources.load();
    } catch (error) {
      if (!this._ended) this._offerAgain(error);
      return;
    }
    if (this._ended) return;
    const { browsable, uploadable } = usable(sources, this._options.limits.source);
    const tools = [];
    if (browsable.length > 0) tools.push(this._choose);
    if (uploadable.length > 0) tools.push(...this._makeUpload(uploadable));
    if (tools.length === 0) tools.push(element("p", { class: "files-field-note" }, NOTHING));
    this.element.replaceChildren(...tools);
    this._options.ready();
  }

  /** @param {unknown} error */
  _offerAgain(error) {
    const words = `The sources of files could not be fetched. ${explained(error)}`;
    const note = element("p", { class: "files-field-note" }, words);
    this.element.replaceChildren(note, button("Try again", () => this._offer()));
    this._options.ready();
  }

  /** @param {SourceRecord[]} sources */
  _makeUpload(sources) {
    const { limits, several: multiple, state } = this._options;
    const { upload, elements } = makeUploader(this._api, sources, {
      ...limits,
      multiple,
      compact: true,
      uploaded: (file) => this._ended || this._options.uploaded(file),
      state,
    });
    upload.addEventListener("datasette-files-finished", () => {
      if (upload.failed === 0) upload.clear(); // they are in the list of the field now
    });
    this._upload = upload;
    return elements;
  }
}
