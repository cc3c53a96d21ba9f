/**
 * The content of a picker: choosing and uploading as two tabs, and the files that are chosen so far.
 * Leaves out whether it stands in a dialog or in the page (file-picker.js).
 */

import { button, element, setText } from "../shared/dom.js";
import { counted, plain } from "../shared/format.js";
import { TEXT, explained } from "../shared/messages.js";
import { ApiError } from "../shared/request.js";
import { holdsFiles } from "../upload/dropped-files.js";
import { UploadRules } from "../upload/rules.js";
import { PickerChooser } from "./chooser.js";
import { usable } from "./sources.js";
import { PickerTabs } from "./tabs.js";
import { makeUploader } from "./uploader.js";

/** @import { FileRecord, FilesApi, SourceRecord } from "../api.js" */
/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */
/** @import { FileSources } from "./sources.js" */
/** @import { Limits } from "./uploader.js" */

export class PickerPanel {
  /**
   * @param {FilesApi} api
   * @param {FileSources} sources
   * @param {Limits & {multiple: boolean, taken: Set<string>,
   *   choose: (files: FileRecord[]) => void, cancel: (() => void) | null}} options
   *   `choose` gets the chosen files; `cancel` is null where there is no dialog to close.
   */
  constructor(api, sources, options) {
    this._api = api;
    this._sources = sources;
    this._options = options;
    this._ended = false;
    this._wantsFocus = false;
    /** @type {Map<string, FileRecord>} */
    this._chosen = new Map();
    /** Of uploaded files: their places among those that were added. @type {Map<string, number>} */
    this._numbers = new Map();
    /** @type {PickerTabs | null} */
    this._tabs = null;
    /** @type {PickerChooser | null} */
    this._choose = null;
    /** @type {DatasetteFileUpload | null} */
    this._upload = null;
    this._body = element("div", { class: "picker-body" });
    this._live = element("p", { class: "files-hidden", role: "status" });
    this._refused = element("p", { class: "picker-refused", role: "alert" });
    this._footer = this._makeFooter();
    this.element = element("div", { class: "picker", tabindex: "-1" });
    this.element.append(this._body, this._live, this._footer);
    this._start();
  }

  /** Whether files are being uploaded. */
  get busy() {
    return this._upload?.busy ?? false;
  }

  /** The files that are chosen so far; uploaded ones as they were added, not as they were completed. */
  get files() {
    const place = ({ id = "" }) => this._numbers.get(id);
    const all = [...this._chosen.values()];
    const uploaded = all.filter((file) => place(file) !== undefined);
    uploaded.sort((one, other) => (place(one) ?? 0) - (place(other) ?? 0));
    return all.map((file) => (place(file) === undefined ? file : /** @type {FileRecord} */ (uploaded.shift())));
  }

  /** Focus the panel; its first control as soon as there is one. */
  focus() {
    this._wantsFocus = this._tabs === null;
    if (this._wantsFocus) this.element.focus();
    else (this._choose ?? this._body.querySelector("button") ?? this.element).focus();
  }

  /** The picker is closed: end all requests and uploads. */
  stop() {
    this._ended = true;
    this._choose?.stop();
    this._upload?.cancelAll();
  }

  async _start() {
    this._body.replaceChildren(element("p", { class: "picker-empty" }, "Loading…"));
    try {
      const sources = await this._sources.load();
      if (!this._ended) this._build(sources);
    } catch (error) {
      if (!this._ended) this._fail(error);
    }
  }

  /** @param {unknown} error */
  _fail(error) {
    const why = explained(ApiError.from(error));
    const again = () => {
      this.focus(); // the button disappears
      this._start();
    };
    const problem = element(
      "div",
      { class: "picker-problem", role: "alert" },
      element("p", {}, `The sources could not be fetched. ${why}`),
      button("Try again", again),
    );
    this._body.replaceChildren(problem);
  }

  /** @param {SourceRecord[]} sources */
  _build(sources) {
    const { source } = this._options;
    const { browsable, uploadable } = usable(sources, source);
    const tabs = [];
    if (browsable.length > 0) tabs.push({ name: "Choose", content: this._makeChoose(browsable) });
    if (uploadable.length > 0) tabs.push({ name: "Upload", content: this._makeUpload(uploadable) });
    this._tabs = new PickerTabs(tabs);
    if (tabs.length > 0) this._body.replaceChildren(...this._tabs.elements);
    else this._body.replaceChildren(element("p", { class: "picker-empty" }, TEXT.noSources));
    this._choose?.start();
    if (this._wantsFocus) this.focus();
  }

  /** @param {SourceRecord[]} sources */
  _makeChoose(sources) {
    this._choose = new PickerChooser(this._api, {
      ...this._options,
      sources,
      isChosen: ({ id }) => this._chosen.has(id),
      pick: (file) => this._picked(file),
    });
    return this._choose.element;
  }

  /** @param {SourceRecord[]} sources */
  _makeUpload(sources) {
    const seen = () => this._tabs?.show("Upload");
    let worked = false;
    const { upload, elements } = makeUploader(this._api, sources, {
      ...this._options,
      compact: false,
      uploaded: (file, number) => this._uploaded(file, number),
      state: () => {
        if (upload.busy && !worked) seen(); // a file may have been pasted outside of the tab
        worked = upload.busy;
        this._drawFooter();
      },
    });
    this._upload = upload;
    this.element.addEventListener("dragenter", (event) => {
      if (holdsFiles(event.dataTransfer)) seen();
    });
    elements.splice(-1, 0, this._refused);
    return element("div", { class: "picker-upload" }, ...elements);
  }

  _makeFooter() {
    const { multiple, cancel } = this._options;
    const footer = element("div", { class: "picker-footer", hidden: !multiple && cancel === null });
    this._summary = element("p", { class: "picker-summary" });
    this._add = button("", () => this._finish(this.files), { class: "upload-button upload-primary" });
    footer.append(this._summary);
    if (cancel !== null) footer.append(button("Cancel", cancel));
    if (multiple) footer.append(this._add);
    this._drawFooter();
    return footer;
  }

  _drawFooter() {
    const number = this._chosen.size;
    if (!this._options.multiple || !this._summary || !this._add) return;
    setText(this._summary, number === 0 ? "" : `${counted(number, "file")} chosen`);
    setText(this._add, number === 0 ? "Add files" : `Add ${counted(number, "file")}`);
    // Closing would end uploads that still run.
    this._add.disabled = number === 0 || this.busy;
  }

  /** @param {FileRecord} file */
  _picked(file) {
    if (!this._options.multiple) return this._finish([file]);
    const removed = this._chosen.delete(file.id);
    if (!removed) this._chosen.set(file.id, file);
    this._marked(`${plain(file.filename)} ${removed ? "no longer chosen" : "chosen"}`);
  }

  /** @param {FileRecord} file @param {number} number */
  _uploaded(file, number) {
    if (this._ended) return;
    const { accept, maxSize, multiple } = this._options;
    // Only the server's answer has the true type.
    const refusal = new UploadRules(maxSize, accept).refusal(file);
    if (refusal !== "") {
      const told = `${plain(file.filename)} is uploaded, but cannot be chosen here.`;
      setText(this._refused, `${told} ${refusal}`);
      return;
    }
    if (!multiple) return this._finish([file]);
    this._numbers.set(file.id, number);
    this._chosen.set(file.id, file);
    this._marked(`${plain(file.filename)} uploaded and chosen`);
  }

  /** @param {string} words */
  _marked(words) {
    this._choose?.mark();
    this._drawFooter();
    setText(this._live, `${words}. ${counted(this._chosen.size, "file")} in all.`);
  }

  /** @param {FileRecord[]} files */
  _finish(files) {
    if (this._ended || files.length === 0) return;
    this._chosen.clear();
    this._choose?.mark();
    this._drawFooter();
    this._options.choose(files);
  }
}
