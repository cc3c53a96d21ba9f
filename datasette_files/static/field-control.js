/**
 * The field of a file column in Datasette's dialogs that insert and edit rows: the files that are
 * there, choosing others, uploading in place. It writes to the field's own input, from which Datasette
 * reads; a text that it does not understand is left there to be edited as text.
 *
 * Leaves out how Datasette is told of it (file-field.js) and the order of the files (field-list.js).
 */

import "./file-picker.js";
import { element, setText } from "./dom.js";
import { FieldList } from "./field-list.js";
import { MAX_IDS, emptyValue, idsOf, valueOf } from "./field-value.js";
import { usable } from "./file-sources.js";
import { counted } from "./format.js";
import { messageFor } from "./messages.js";
import { makeUpload, uploadTargets } from "./picker-upload.js";
import { UploadRules } from "./upload-rules.js";

/** @import { FileRecord, FilesApi, SourceRecord } from "./api.js" */
/** @import { DatasetteFileUpload } from "./datasette-file-upload.js" */
/** @import { FileItem } from "./field-item.js" */
/** @import { DatasetteFilePicker } from "./file-picker.js" */
/** @import { FileRecords } from "./file-records.js" */
/** @import { FileSources } from "./file-sources.js" */

/**
 * What Datasette hands to a control (its edit-tools.js, createColumnFieldApi), as far as it is used.
 * @typedef {object} ColumnField
 * @property {HTMLInputElement | HTMLTextAreaElement} input
 * @property {string} labelId
 * @property {string} descriptionId
 * @property {HTMLFormElement | null} form
 * @property {{mode: string, notNull: boolean, column: string,
 *   columnType: {type: "file" | "files", config: Record<string, unknown>}}} context
 * @property {() => string | number | boolean | null} getValue
 * @property {(value: string | null) => void} setValue
 * @property {() => boolean} hasChanged
 * @property {() => void} markClean
 * @property {() => boolean} isUsingSqliteDefault
 * @property {(message: string) => void} setValidity
 */
/** @typedef {{api: FilesApi, sources: FileSources, records: FileRecords}} Tools What fields share. */

const NO_FILE = { file: "No file.", files: "No files." };

export class FileFieldControl {
  /** @param {ColumnField} field @param {Tools} tools */
  constructor(field, { api, sources, records }) {
    this._field = field;
    this._api = api;
    this._sources = sources;
    this._records = records;
    this._ended = false;
    this._wantsFocus = false;
    const { type, config } = field.context.columnType;
    this._type = type;
    this._source = typeof config.source === "string" ? config.source : "";
    this._accept = typeof config.accept === "string" ? config.accept : "";
    this._maxSize = typeof config.max_size === "number" ? config.max_size : null;
    this._rules = new UploadRules(this._maxSize, this._accept);
    this._empty = emptyValue(type, this._written(), field.context.notNull);
    /** What the input held when it was read or written last. */
    this._seen = "";
    /** @type {DatasetteFileUpload | null} */
    this._upload = null;
    /** @type {DatasetteFilePicker | null} */
    this._picker = null;
    this._listening = new AbortController();
    this._list = new FieldList(records, {
      several: type === "files",
      readOnly: field.input.readOnly,
      name: () => field.context.column,
      changed: (words) => this._changed(words),
      replace: (item) => this._choose(item),
    });
    this._build();
    this._begin();
    this._read();
    this._offer();
  }

  focus() {
    if (this._isText) return this._field.input.focus();
    const first = this.element.querySelector("button:not([hidden], :disabled)");
    this._wantsFocus = first === null;
    if (first instanceof HTMLElement) first.focus();
  }

  /** The dialog is closed: what is on its way is for nobody. */
  destroy() {
    this._ended = true;
    this._listening.abort();
    this._picker?.remove();
    this._upload?.remove();
  }

  /** Whether the value is edited as the text that it is. */
  get _isText() {
    return !this._field.input.classList.contains("files-field-value");
  }

  _build() {
    const { input, labelId, descriptionId } = this._field;
    this._note = element("p", { class: "files-field-note", hidden: true });
    this._none = element("p", { class: "files-field-none" }, NO_FILE[this._type]);
    this._tools = element("div", { class: "files-field-tools" });
    this._problem = element("p", { class: "files-field-problem", role: "alert" });
    this._live = element("p", { class: "files-hidden", role: "status" });
    this.element = element("div", {
      class: "files-field",
      role: "group",
      "aria-labelledby": labelId,
      "aria-describedby": descriptionId,
    });
    const list = this._list.element;
    const parts = [input, this._note, list, this._none, this._tools, this._problem, this._live];
    this.element.append(...parts);
    const { signal } = this._listening;
    // Labels, "Set value" and the browser's own check of a form lead to the input.
    input.addEventListener("focus", () => this._focused(), { signal });
    input.addEventListener("invalid", (event) => this._refused(event), { signal });
    this._field.form?.addEventListener("click", (event) => this._saving(event), {
      signal,
      capture: true,
    });
    const changedBefore = this._field.hasChanged;
    // So that Datasette asks before it closes.
    this._field.hasChanged = () => this._blocker() !== "" || changedBefore();
  }

  /** A new row without a file holds NULL rather than "". */
  _begin() {
    const { context } = this._field;
    const blank = context.mode === "insert" && this._field.input.value === "";
    if (!blank || this._field.isUsingSqliteDefault() || this._field.input.readOnly) return;
    this._empty = emptyValue(this._type, null, context.notNull);
    this._field.setValue(this._empty);
    this._field.markClean();
  }

  /** @returns {string | number | boolean | null} What the input holds. */
  _written() {
    try {
      return this._field.getValue();
    } catch {
      return this._field.input.value; // a text where a number was: as good as any other
    }
  }

  _read() {
    const { input } = this._field;
    const ids = idsOf(this._type, this._written());
    this._seen = input.value;
    this._showText(ids === null);
    this._list.set(ids ?? []);
    this._drawEmptiness();
  }

  /** @param {boolean} isText */
  _showText(isText) {
    const { input } = this._field;
    input.classList.toggle("files-field-value", !isText);
    if (isText) input.removeAttribute("tabindex");
    else input.tabIndex = -1;
    const wanted = this._type === "file" ? "the id of a file" : "a list of ids of files";
    this._note.hidden = !isText;
    setText(this._note, `This is not ${wanted}, so it is shown as text. A file that you choose takes its place.`);
  }

  _drawEmptiness() {
    const { ids } = this._list;
    this._none.hidden = ids.length > 0 || this._isText;
    const choose = this._tools.querySelector(".files-field-choose");
    // Of one file there is Replace.
    if (choose instanceof HTMLElement) choose.hidden = this._type === "file" && ids.length > 0;
  }

  _focused() {
    if (this._isText) return;
    // Datasette may have emptied it meanwhile, by "Use default".
    if (this._field.input.value !== this._seen) this._read();
    this.focus();
  }

  /** The list is another: write it. @param {string} words What happened. */
  _changed(words) {
    const { input } = this._field;
    this._field.setValue(valueOf(this._type, this._list.ids, this._empty));
    this._seen = input.value;
    const lost = this._isText && document.activeElement === input;
    this._showText(false);
    this._drawEmptiness();
    if (lost || document.activeElement === document.body) this.focus();
    setText(this._live, words);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Saving

  /** Why the row cannot be saved now, or "". */
  _blocker() {
    if (this._upload?.busy) {
      return "A file is still being uploaded. Wait until it is done, or cancel it; then save.";
    }
    const failed = this._upload?.failed ?? 0;
    if (failed === 0) return "";
    return `${counted(failed, "file")} could not be uploaded. Try again or remove it; then save.`;
  }

  _drawBlocker() {
    const blocker = this._blocker();
    // In words only once somebody wants to save; until then the progress says enough.
    if (blocker === "") this._field.setValidity("");
    this._field.input.setCustomValidity(blocker);
  }

  /** @param {Event} event */
  _refused(event) {
    event.preventDefault(); // the browser's own words, at a field that cannot be seen
    this._field.setValidity(this._blocker());
    const first = this._field.form?.querySelector(".row-edit-input:invalid");
    if (first === this._field.input) this._upload?.querySelector("button")?.focus();
  }

  /** Many rows are inserted as text: what lies in this field is then no matter. @param {Event} event */
  _saving(event) {
    const button = event.target instanceof Element && event.target.closest("[type=submit]");
    if (!button) return;
    if (this.element.checkVisibility()) this._drawBlocker();
    else this._field.input.setCustomValidity("");
  }

  // Choosing and uploading

  async _offer() {
    if (this._field.input.readOnly) return;
    let sources;
    try {
      sources = await this._sources.load();
    } catch (error) {
      if (!this._ended) this._offerAgain(error);
      return;
    }
    if (this._ended) return;
    const { browsable, uploadable } = usable(sources, this._source);
    const tools = [];
    if (browsable.length > 0) tools.push(this._chooseButton());
    if (uploadable.length > 0) tools.push(...this._makeUpload(uploadable));
    if (tools.length === 0) {
      const note = "You may neither choose a file here nor upload one: ask the administrator.";
      tools.push(element("p", { class: "files-field-note" }, note));
    }
    this._tools.replaceChildren(...tools);
    this._drawEmptiness();
    if (this._wantsFocus) this.focus();
  }

  /** @param {unknown} error */
  _offerAgain(error) {
    const { title, next } = messageFor(/** @type {{code?: string}} */ (error).code ?? "");
    const again = element("button", { type: "button", class: "upload-button" }, "Try again");
    again.addEventListener("click", () => this._offer());
    const words = `The sources of files could not be fetched. ${title}. ${next}`;
    this._tools.replaceChildren(element("p", { class: "files-field-note" }, words), again);
  }

  _chooseButton() {
    const text = this._type === "file" ? "Choose a file" : "Choose files";
    const button = element("button", { type: "button", class: "upload-button files-field-choose" });
    button.append(text);
    button.setAttribute("aria-haspopup", "dialog");
    button.addEventListener("click", () => this._choose(null));
    return button;
  }

  /** @param {SourceRecord[]} sources */
  _makeUpload(sources) {
    const limits = { accept: this._accept, maxSize: this._maxSize };
    const multiple = this._type === "files";
    const upload = makeUpload(this._api, sources[0], { ...limits, multiple, compact: true });
    upload.addEventListener("datasette-file-uploaded", (event) => {
      this._uploaded(/** @type {CustomEvent<{file: FileRecord}>} */ (event).detail.file);
    });
    upload.addEventListener("datasette-files-state", () => this._drawBlocker());
    upload.addEventListener("datasette-files-finished", () => {
      if (upload.failed === 0) upload.clear(); // they are above now
    });
    this._upload = upload;
    return [...uploadTargets(upload, sources), upload];
  }

  /** @param {FileRecord} file */
  _uploaded(file) {
    if (this._ended) return;
    // What it is the server has found out only now.
    const refusal = this._rules.refusal(file);
    if (refusal === "") return this._add([file], null);
    setText(this._problem, `${file.filename} is uploaded, but this column does not take it. ${refusal}`);
  }

  /** @param {FileItem | null} item The one whose place it takes. */
  async _choose(item) {
    if (this._picker !== null) return;
    const attributes = { modal: true, source: this._source, accept: this._accept };
    const multiple = this._type === "files" && item === null;
    const picker = /** @type {DatasetteFilePicker} */ (
      element(/** @type {any} */ ("datasette-file-picker"), { ...attributes, multiple })
    );
    if (this._maxSize !== null) picker.setAttribute("max-size", String(this._maxSize));
    picker.api = this._api;
    picker.sources = this._sources;
    picker.taken = this._list.ids;
    this._picker = picker;
    // Not in the form: its fields are none of the row's.
    document.body.append(picker);
    const files = await picker.show();
    this._picker = null;
    picker.remove();
    if (files !== null && !this._ended) this._add(files, item);
  }

  /** @param {FileRecord[]} files @param {FileItem | null} item The one whose place they take. */
  _add(files, item) {
    for (const file of files) this._records.put(file);
    const room = MAX_IDS - this._list.ids.length;
    const taken = this._type === "files" && item === null ? files.slice(0, room) : files;
    setText(this._problem, taken.length < files.length ? `At most ${MAX_IDS} files fit here.` : "");
    if (taken.length > 0) this._list.add(taken, item);
  }
}
