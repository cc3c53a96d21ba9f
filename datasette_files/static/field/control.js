/**
 * The field of a file column in Datasette's dialogs that insert and edit rows: the files that are
 * there, choosing others, uploading in place. It writes to the field's own input, from which Datasette
 * reads; a text that it does not understand is left there to be edited as text.
 *
 * Leaves out how Datasette is told of it (file-field.js), the order of the files (list.js) and
 * how they come (tools.js).
 */

import { element, setText } from "../shared/dom.js";
import { plain } from "../shared/format.js";
import { FieldList } from "./list.js";
import { FieldTools } from "./tools.js";
import { MAX_IDS, emptyValue, idsOf, valueOf } from "./value.js";
import { UploadRules } from "../upload/rules.js";

/** @import { FileRecord, FilesApi } from "../api.js" */
/** @import { FileItem } from "./item.js" */
/** @import { Limits } from "../picker/uploader.js" */
/** @import { FileRecords } from "../shared/file-records.js" */
/** @import { FileSources } from "../picker/sources.js" */

/**
 * What Datasette hands to a control (its edit-tools.js, createColumnFieldApi), as far as it is used.
 * @typedef {object} ColumnField
 * @property {HTMLInputElement | HTMLTextAreaElement} input
 * @property {string} labelId
 * @property {string} descriptionId
 * @property {HTMLFormElement | null} form
 * @property {{mode: string, notNull: boolean, database: string | null, table: string | null, column: string,
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
const TEXT = {
  file: "This is not the id of a file, so it is shown as text.",
  files: "This is not a list of ids of files, so it is shown as text.",
};
/** The input where the list stands for it: on the page, but not to be seen. */
const UNSEEN = "files-field-value";

/** @param {ColumnField["context"]} context @returns {Limits} */
function limitsOf({ database, table, column, columnType }) {
  const { source, accept, max_size } = columnType.config;
  return {
    source: typeof source === "string" ? source : "",
    accept: typeof accept === "string" ? accept : "",
    maxSize: typeof max_size === "number" ? max_size : null,
    column: database && table ? { database, table, column } : null,
  };
}

export class FileFieldControl {
  /** @param {ColumnField} field @param {Tools} tools */
  constructor(field, { api, sources, records }) {
    const { context, input } = field;
    this._field = field;
    this._records = records;
    this._type = context.columnType.type;
    this._limits = limitsOf(context);
    this._empty = emptyValue(this._type, this._written(), context.notNull);
    this._wantsFocus = false;
    /** What the input held when it was read or written last. */
    this._seen = "";
    this._listening = new AbortController();
    const several = this._type === "files";
    this._list = new FieldList(records, {
      several,
      readOnly: input.readOnly,
      name: context.column,
      changed: (words) => this._changed(words),
      replace: (item) => this._choose(item),
    });
    /** @type {FieldTools | null} */
    this._tools = null;
    if (!input.readOnly) {
      this._tools = new FieldTools(api, sources, {
        limits: this._limits,
        several,
        choose: () => this._choose(null),
        uploaded: (file) => this._uploaded(file),
        state: () => this._drawBlocker(),
        ready: () => this._wantsFocus && this.focus(),
      });
    }
    this._note = element("p", { class: "files-field-note", hidden: true });
    this._none = element("p", { class: "files-field-none" }, NO_FILE[this._type]);
    this._problem = element("p", { class: "files-field-problem", role: "alert" });
    this._live = element("p", { class: "files-hidden", role: "status" });
    this.element = this._build();
    this._listen();
    this._begin();
    this._read();
  }

  focus() {
    if (this._isText) return this._field.input.focus();
    const buttons = [...this.element.querySelectorAll("button")];
    const first = buttons.find((button) => !button.disabled && button.checkVisibility());
    this._wantsFocus = first === undefined;
    first?.focus();
  }

  /** The dialog is closed: what is on its way is for nobody. */
  destroy() {
    this._listening.abort();
    this._tools?.destroy();
  }

  /** Whether the value is edited as the text that it is. */
  get _isText() {
    return !this._field.input.classList.contains(UNSEEN);
  }

  _build() {
    const { input, labelId, descriptionId } = this._field;
    const built = element("div", {
      class: "files-field",
      role: "group",
      "aria-labelledby": labelId,
      "aria-describedby": descriptionId,
    });
    const tools = this._tools === null ? [] : [this._tools.element];
    built.append(input, this._note, this._list.element, this._none, ...tools);
    built.append(this._problem, this._live);
    return built;
  }

  _listen() {
    const { signal } = this._listening;
    const { form, input, hasChanged } = this._field;
    // Labels, "Set value" and the browser's own check of a form lead to the input.
    input.addEventListener("focus", () => this._focused(), { signal });
    input.addEventListener("invalid", (event) => this._refused(event), { signal });
    const saving = (/** @type {Event} */ event) => this._saving(event);
    form?.addEventListener("click", saving, { signal, capture: true });
    // So that Datasette asks before it closes.
    this._field.hasChanged = () => (this._tools?.blocker ?? "") !== "" || hasChanged();
  }

  /** A new row without a file holds NULL rather than "". */
  _begin() {
    const { context, input } = this._field;
    const blank = context.mode === "insert" && input.value === "" && !input.readOnly;
    if (!blank || this._field.isUsingSqliteDefault()) return;
    this._empty = emptyValue(this._type, null, context.notNull);
    this._field.setValue(this._empty);
    this._field.markClean();
  }

  /** @returns {string | number | boolean | null} What the input holds. */
  _written() {
    try {
      return this._field.getValue();
    } catch {
      return this._field.input.value; // a text where a number was: none of ours either way
    }
  }

  _read() {
    const ids = idsOf(this._type, this._written());
    this._seen = this._field.input.value;
    this._showText(ids === null);
    this._list.set(ids ?? []);
    this._drawEmptiness();
  }

  /** @param {boolean} isText */
  _showText(isText) {
    const { input } = this._field;
    input.classList.toggle(UNSEEN, !isText);
    if (isText) input.removeAttribute("tabindex");
    else input.tabIndex = -1;
    // For Datasette's code alone, so a reader of screens has the list.
    if (isText) input.removeAttribute("aria-hidden");
    else input.setAttribute("aria-hidden", "true");
    this._note.hidden = !isText;
    setText(this._note, `${TEXT[this._type]} A file that you choose or upload takes its place.`);
  }

  _drawEmptiness() {
    const { ids } = this._list;
    this._none.hidden = ids.length > 0 || this._isText;
    this._tools?.offerChoice(this._type === "files" || ids.length === 0);
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
    this._showText(false);
    this._drawEmptiness();
    const { activeElement } = document;
    // What had the focus may be gone, or hidden.
    if (activeElement === document.body || !activeElement?.checkVisibility()) this.focus();
    setText(this._live, words);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Saving

  _drawBlocker() {
    const blocker = this._tools?.blocker ?? "";
    // In words only once somebody wants to save; until then the progress says enough.
    if (blocker === "") this._field.setValidity("");
    this._field.input.setCustomValidity(blocker);
  }

  /** @param {Event} event */
  _refused(event) {
    event.preventDefault(); // the browser's own words, at a field that cannot be seen
    this._field.setValidity(this._tools?.blocker ?? "");
    const first = this._field.form?.querySelector(".row-edit-input:invalid");
    if (first === this._field.input) this._tools?.focusUpload();
  }

  /** Many rows are inserted as text: what lies in this field is then no matter. @param {Event} event */
  _saving(event) {
    if (!(event.target instanceof Element) || !event.target.closest("[type=submit]")) return;
    if (this.element.checkVisibility()) this._drawBlocker();
    else this._field.input.setCustomValidity("");
  }

  // Files

  /** @param {FileItem | null} item The one whose place it takes. */
  async _choose(item) {
    const multiple = this._type === "files" && item === null;
    const files = await this._tools?.pick(multiple, this._list.ids);
    if (files) this._add(files, item);
  }

  /** @param {FileRecord} file */
  _uploaded(file) {
    if (this._field.isUsingSqliteDefault()) return; // somebody has thought better of it
    // What it is the server has found out only now.
    const { maxSize, accept } = this._limits;
    const refusal = new UploadRules(maxSize, accept).refusal(file);
    if (refusal === "") return this._add([file], null);
    const told = `${plain(file.filename)} is uploaded, but this column does not take it.`;
    setText(this._problem, `${told} ${refusal}`);
  }

  /** @param {FileRecord[]} files @param {FileItem | null} item The one whose place they take. */
  _add(files, item) {
    for (const file of files) this._records.put(file);
    const appended = this._type === "files" && item === null;
    const taken = appended ? files.slice(0, MAX_IDS - this._list.ids.length) : files;
    setText(this._problem, taken.length < files.length ? `At most ${MAX_IDS} files fit here.` : "");
    if (taken.length > 0) this._list.add(taken, item);
  }
}
