/**
 * The tools of a field: the button that opens the picker, and the upload in place, for the sources that
 * this person may use. Leaves out what happens to the files (control.js).
 */

import "../file-picker.js";
import { usable } from "../picker/sources.js";
import { makeUploader } from "../picker/uploader.js";
import { button, element } from "../shared/dom.js";
import { counted } from "../shared/format.js";
import { TEXT, explained } from "../shared/messages.js";
import { ApiError } from "../shared/request.js";

/** @import { FileRecord, FilesApi, SourceRecord } from "../api.js" */
/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */
/** @import { DatasetteFilePicker } from "../file-picker.js" */
/** @import { FileSources } from "../picker/sources.js" */
/** @import { Limits } from "../picker/uploader.js" */

export class FieldTools {
  /**
   * @param {FilesApi} api
   * @param {FileSources} sources
   * @param {{limits: Limits, several: boolean, choose: () => void,
   *   uploaded: (file: FileRecord, number: number, replaces: string | null) => void,
   *   state: () => void, ready: () => void}} options `state` is called when an upload starts, fails or ends;
   *   `ready` when the first button is there.
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

  /** Why the row cannot be saved now, or "". */
  get blocker() {
    if (this._upload?.busy) return TEXT.uploading;
    const failed = this._upload?.failed ?? 0;
    if (failed === 0) return "";
    return `${counted(failed, "file")} could not be uploaded. Try again or remove it; then save.`;
  }

  /** Show or hide "Choose": a column of one file has "Replace" instead. @param {boolean} offered */
  offerChoice(offered) {
    this._choose.hidden = !offered;
  }

  /** Focus the buttons of the upload that blocks saving. */
  focusUpload() {
    const row = this._upload?.querySelector(".upload-row button");
    const first = row ?? this._upload?.querySelector("button");
    if (first instanceof HTMLElement) first.focus();
  }

  /** The dialog is closed: uploads end. */
  destroy() {
    this._ended = true;
    this._picker?.remove();
    this._upload?.remove();
  }

  /**
   * Open the picker.
   * @param {boolean} multiple @param {string[]} taken The ids that are not offered.
   * @returns {Promise<FileRecord[] | null>} Null if nothing was chosen.
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
    // Outside of the form: the fields of the picker do not belong to the row.
    document.body.append(picker);
    try {
      const files = await picker.show();
      return this._ended ? null : files;
    } finally {
      this._picker = null;
      picker.remove();
    }
  }

  /** Whether this person may upload anywhere, and so perhaps a new version of a file. */
  get takesVersions() {
    return this._upload !== null;
  }

  /**
   * Ask for a file, and upload it as the next version of another. Must be called by a click.
   * @param {string} id
   */
  async uploadVersion(id) {
    const { accept } = this._options.limits;
    const file = await chosenFile(accept);
    if (file === null || this._ended) return;
    // The new version has to be in the source of the old one, which the record alone tells.
    const [old] = (await this._api.search({ q: id, versions: "all" })).files;
    if (old === undefined) throw new ApiError("not_found", "");
    if (!this._ended) this._upload?.addVersion(file, id, old.source_slug);
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
    if (tools.length === 0) tools.push(element("p", { class: "files-field-note" }, TEXT.noSources));
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
      uploaded: (file, number, replaces) => this._ended || this._options.uploaded(file, number, replaces),
      state,
    });
    upload.addEventListener("datasette-files-finished", () => {
      if (upload.failed === 0) upload.clear(); // the list of the field shows them
    });
    this._upload = upload;
    return elements;
  }
}

/** The file that somebody chooses in the browser's dialog. @param {string} accept @returns {Promise<File | null>} */
function chosenFile(accept) {
  const input = /** @type {HTMLInputElement} */ (element("input", { type: "file", accept }));
  return new Promise((resolve) => {
    input.addEventListener("change", () => resolve(input.files?.[0] ?? null));
    input.addEventListener("cancel", () => resolve(null));
    input.click();
  });
}
