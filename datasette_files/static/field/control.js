/**
 * The field of a file column in Datasette's dialogs that insert and edit rows: it shows the files,
 * chooses others, uploads in place. It writes to the input that Datasette reads. A value that holds no
 * ids stays in the input, to be edited as text.
 *
 * Leaves out how Datasette gets the field (file-field.js), the order of the files (list.js) and how
 * files are chosen and uploaded (tools.js).
 */

import { element, setText } from "../shared/dom.js";
import { plain } from "../shared/format.js";
import { TEXT, explained } from "../shared/messages.js";
import { ApiError } from "../shared/request.js";
import { UploadRules } from "../upload/rules.js";
import { FieldList } from "./list.js";
import { FieldTools } from "./tools.js";
import { MAX_IDS, emptyValue, idsOf, valueOf } from "./value.js";

/** @import { FileRecord, FilesApi } from "../api.js" */
/** @import { FileItem } from "./item.js" */
/** @import { Limits } from "../picker/uploader.js" */
/** @import { FileRecords } from "../shared/file-records.js" */
/** @import { FileSources } from "../picker/sources.js" */

/**
 * The members used here of the field that Datasette passes (its edit-tools.js, createColumnFieldApi).
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

/** Class of an input that the list replaces: on the page, but invisible. */
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
    /** The value that was read or written last. */
    this._seen = "";
    this._listening = new AbortController();
    const several = this._type === "files";
    this._list = new FieldList(records, {
      several,
      readOnly: input.readOnly,
      name: context.column,
      changed: (words) => this._changed(words),
      replace: (item) => this._choose(item),
      version: (item) => this._uploadVersion(item),
    });
    /** @type {FieldTools | null} */
    this._tools = null;
    if (!input.readOnly) {
      this._tools = new FieldTools(api, sources, {
        limits: this._limits,
        several,
        choose: () => this._choose(null),
        uploaded: (file, number, replaces) => this._uploaded(file, number, replaces),
        state: () => this._drawBlocker(),
        ready: () => this._ready(),
      });
    }
    this._note = element("p", { class: "files-field-note", hidden: true });
    this._none = element("p", { class: "files-field-none" }, TEXT.empty[this._type]);
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

  /** The dialog is closed: uploads end. */
  destroy() {
    this._listening.abort();
    this._tools?.destroy();
  }

  /** Whether the value is edited as text. */
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
    // Labels, "Set value" and the browser's validation focus the input.
    input.addEventListener("focus", () => this._focused(), { signal });
    input.addEventListener("invalid", (event) => this._refused(event), { signal });
    const saving = (/** @type {Event} */ event) => this._saving(event);
    form?.addEventListener("click", saving, { signal, capture: true });
    // Datasette then asks before it closes the dialog.
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

  /** @returns {string | number | boolean | null} The value of the input. */
  _written() {
    try {
      return this._field.getValue();
    } catch {
      return this._field.input.value; // a text where a number was; neither holds ids
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
    // Screen readers have the list; the hidden input is for Datasette's code alone.
    if (isText) input.removeAttribute("aria-hidden");
    else input.setAttribute("aria-hidden", "true");
    this._note.hidden = !isText;
    setText(this._note, TEXT.notIds[this._type]);
  }

  _drawEmptiness() {
    const { ids } = this._list;
    this._none.hidden = ids.length > 0 || this._isText;
    this._tools?.offerChoice(this._type === "files" || ids.length === 0);
  }

  _focused() {
    if (this._isText) return;
    // "Use default" of Datasette may have emptied it.
    if (this._field.input.value !== this._seen) this._read();
    this.focus();
  }

  /** Write the list that has changed. @param {string} words What happened, for screen readers. */
  _changed(words) {
    const { input } = this._field;
    this._field.setValue(valueOf(this._type, this._list.ids, this._empty));
    this._seen = input.value;
    this._showText(false);
    this._drawEmptiness();
    const { activeElement } = document;
    // The element that had the focus may be gone or hidden.
    if (activeElement === document.body || !activeElement?.checkVisibility()) this.focus();
    setText(this._live, words);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Saving

  _drawBlocker() {
    const blocker = this._tools?.blocker ?? "";
    // The reason is shown when somebody tries to save; until then the progress is enough.
    if (blocker === "") this._field.setValidity("");
    this._field.input.setCustomValidity(blocker);
  }

  /** @param {Event} event */
  _refused(event) {
    event.preventDefault(); // or the browser shows its message at the invisible input
    this._field.setValidity(this._tools?.blocker ?? "");
    const first = this._field.form?.querySelector(".row-edit-input:invalid");
    if (first === this._field.input) this._tools?.focusUpload();
  }

  /** While several rows are inserted as text, this hidden field blocks nothing. @param {Event} event */
  _saving(event) {
    if (!(event.target instanceof Element) || !event.target.closest("[type=submit]")) return;
    if (this.element.checkVisibility()) this._drawBlocker();
    else this._field.input.setCustomValidity("");
  }

  // Files

  /** @param {FileItem | null} item The file that it replaces. */
  async _choose(item) {
    const multiple = this._type === "files" && item === null;
    const files = await this._tools?.pick(multiple, this._list.ids);
    if (files) this._add(files, item);
  }

  /** The tools are there. */
  _ready() {
    this._list.offerVersions(this._tools?.takesVersions ?? false);
    if (this._wantsFocus) this.focus();
  }

  /** @param {FileItem} item */
  async _uploadVersion(item) {
    setText(this._problem, "");
    try {
      await this._tools?.uploadVersion(item.id);
    } catch (error) {
      setText(this._problem, `${item.name} cannot be replaced. ${explained(ApiError.from(error))}`);
    }
  }

  /**
   * @param {FileRecord} file @param {number} number Its place among the files that were added.
   * @param {string | null} replaces The id of the file whose next version it is.
   */
  _uploaded(file, number, replaces) {
    if (this._field.isUsingSqliteDefault()) return; // "Use default" was pressed meanwhile
    // Only the server's answer has the true type.
    const { maxSize, accept } = this._limits;
    const refusal = new UploadRules(maxSize, accept).refusal(file);
    const old = replaces === null ? null : this._list.item(replaces);
    if (refusal === "") return this._add([file], old, old === null ? number : undefined);
    const told = `${plain(file.filename)} is uploaded, but this column does not take it.`;
    setText(this._problem, `${told} ${refusal}`);
  }

  /**
   * @param {FileRecord[]} files @param {FileItem | null} item The file that they replace.
   * @param {number} [number] Of an uploaded file.
   */
  _add(files, item, number) {
    for (const file of files) this._records.put(file);
    const appended = this._type === "files" && item === null;
    const taken = appended ? files.slice(0, MAX_IDS - this._list.ids.length) : files;
    setText(this._problem, taken.length < files.length ? `At most ${MAX_IDS} files fit here.` : "");
    if (taken.length > 0) this._list.add(taken, item, number);
  }
}
