/**
 * Choosing in a picker: the search field, the select of sources, the list of files and their number.
 * Leaves out uploading (uploader.js) and what happens to the chosen files.
 */

import { button, element, onTyping, setText, sourceSelect } from "../shared/dom.js";
import { counted, formatCount, plain } from "../shared/format.js";
import { explained } from "../shared/messages.js";
import { UploadRules, patternsOf } from "../upload/rules.js";
import { PickerListbox } from "./listbox.js";
import { FileSearch, MAX_FOUND } from "./search.js";

/** @import { FileRecord, FilesApi, SourceRecord } from "../api.js" */

/** The name of a person's last choice of grid or list in the browser's storage. */
const KEPT = "datasette-files picker";

/** @returns {boolean | null} Whether a grid was chosen last; null if nothing was. */
function kept() {
  try {
    const view = localStorage.getItem(KEPT);
    return view === null ? null : view === "grid";
  } catch {
    return null;
  }
}

/** @param {string} accept */
function isForPictures(accept) {
  const patterns = patternsOf(accept);
  return patterns.length > 0 && patterns.every((pattern) => pattern.startsWith("image/"));
}

export class PickerChooser {
  /**
   * @param {FilesApi} api
   * @param {{sources: SourceRecord[], source: string, accept: string, maxSize: number | null,
   *   multiple: boolean, taken: Set<string>, isChosen: (file: FileRecord) => boolean,
   *   pick: (file: FileRecord) => void}} options `sources` may be browsed; `source` is the slug of
   *   the only one to use, or ""; `taken` holds the ids that are not offered again.
   */
  constructor(api, options) {
    this._options = options;
    this._rules = new UploadRules(options.maxSize, options.accept);
    this._search = new FileSearch(api, patternsOf(options.accept));
    this._search.addEventListener("change", () => this._draw());
    this._list = new PickerListbox({
      multiple: options.multiple,
      refusal: (file) => this.refusal(file),
      isChosen: options.isChosen,
      sourceName: (slug) => this._sourceName(slug),
      pick: (file) => this._pick(file),
      nearEnd: () => this._search.more(),
    });
    /** Whether Enter was pressed before the answer came. */
    this._takesFirst = false;
    this._field = this._searchField();
    this._dropAsk = onTyping(this._field, () => this._ask());
    const all = { slug: "", label: "All sources" };
    this._select = sourceSelect([all, ...options.sources], () => this._ask(), { "aria-label": "Source" });
    this._count = element("p", { class: "picker-count", role: "status" });
    this._empty = element("p", { class: "picker-empty", hidden: true });
    this._problem = element("div", { class: "picker-problem", role: "alert", hidden: true });
    const asked = element("div", { class: "picker-asked" }, this._field);
    if (options.sources.length > 1) asked.append(this._select);
    this._view = button("", () => this._showGrid(!this._list.grid, true), { class: "upload-button picker-view" });
    asked.append(this._view);
    this._showGrid(kept() ?? isForPictures(options.accept), false);
    this.element = element("div", { class: "picker-choose", tabindex: "-1" });
    this.element.append(asked, this._list.element, this._empty, this._problem, this._count);
    this.element.addEventListener("keydown", (event) => this._key(event));
  }

  start() {
    this._ask();
  }

  /** @param {boolean} grid @param {boolean} keep For the next picker in this browser. */
  _showGrid(grid, keep) {
    this._list.grid = grid;
    setText(this._view, grid ? "List" : "Grid");
    this._view.title = grid ? "Show the files as a list" : "Show the files as pictures";
    if (!keep) return;
    try {
      localStorage.setItem(KEPT, grid ? "grid" : "list");
    } catch {
      // The browser keeps nothing; the choice lasts as long as this picker.
    }
  }

  stop() {
    this._dropAsk();
    this._search.stop();
  }

  focus() {
    // On a touch screen, focusing the field would open a keyboard over the files.
    const touched = matchMedia("(hover: none) and (pointer: coarse)").matches;
    (touched ? this.element : this._field).focus();
  }

  /** Update the marks of the chosen files. */
  mark() {
    this._list.mark();
  }

  /** Why a file cannot be chosen, or "". @param {FileRecord} file */
  refusal(file) {
    if (this._options.taken.has(file.id)) return "This file is there already.";
    return this._rules.refusal(file);
  }

  /** @param {FileRecord} file */
  _pick(file) {
    const refusal = this.refusal(file);
    if (refusal === "") this._options.pick(file);
    else setText(this._count, `${plain(file.filename)} cannot be chosen. ${refusal}`);
    this._point();
  }

  /** The label of a source; "" where only one is listed. @param {string} slug */
  _sourceName(slug) {
    const { sources } = this._options;
    if (sources.length < 2 || this._search.question.source !== "") return "";
    return sources.find((source) => source.slug === slug)?.label ?? slug;
  }

  _searchField() {
    return element("input", {
      type: "search",
      class: "picker-search",
      role: "combobox",
      placeholder: "Search files",
      autocomplete: "off",
      spellcheck: "false",
      enterkeyhint: "search",
      "aria-label": "Search files",
      "aria-autocomplete": "list",
      "aria-expanded": "true",
      "aria-controls": this._list.id,
    });
  }

  _ask() {
    this._dropAsk();
    this._takesFirst = false;
    const { sources, source } = this._options;
    const only = source || (sources.length === 1 ? sources[0].slug : this._select.value);
    const question = { q: this._field.value.trim(), source: only };
    const { q, source: before } = this._search.question;
    const same = question.q === q && question.source === before;
    if (!same || this._search.answered === null) this._search.ask(question);
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const { key, target } = event;
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const searching = target === this._field;
    if (!searching && target !== this._list.element) return;
    if (key === "Enter") {
      event.preventDefault(); // or it would submit the form around
      if (!this._list.pickActive()) this._takeFirst();
    } else if (key === " " && !searching) {
      event.preventDefault();
      this._list.pickActive();
    } else if (key === "Escape" && this._field.value !== "" && target === this._field) {
      this._clear(event);
    } else if (searching && ["Home", "End", "ArrowLeft", "ArrowRight"].includes(key)) {
      return; // they move the caret
    } else if (this._list.move(key)) {
      event.preventDefault();
      this._point();
    } else if (!searching && key.length === 1) this._field.focus(); // the letter goes into the field
  }

  /** Pick the first hit of the words in the field, once there is an answer. */
  _takeFirst() {
    this._ask();
    const { answered, loading, question, files } = this._search;
    if (question.q === "") return;
    this._takesFirst = loading || answered !== question;
    if (!this._takesFirst) this._list.pickFirst(files);
  }

  /** Escape empties the field first; only the next one closes a dialog. @param {KeyboardEvent} event */
  _clear(event) {
    event.preventDefault();
    event.stopPropagation();
    this._field.value = "";
    this._ask();
  }

  /** Tell screen readers which option is active. */
  _point() {
    this._field.setAttribute("aria-activedescendant", this._list.activeId);
  }

  _draw() {
    const { answered, error, files, loading } = this._search;
    this.element.setAttribute("aria-busy", String(loading));
    if (answered !== null) this._list.show(files);
    if (this._takesFirst && !loading) {
      this._takesFirst = false;
      if (error === null) this._list.pickFirst(files);
    }
    this._point();
    const none = !loading && error === null && files.length === 0;
    this._list.element.hidden = files.length === 0;
    this._field.setAttribute("aria-expanded", String(files.length > 0));
    this._empty.hidden = !none;
    if (none) setText(this._empty, this._noneText());
    this._drawProblem();
    if (!loading) setText(this._count, none || error !== null ? "" : this._countText());
    else if (answered === null) setText(this._count, "Looking for files…");
  }

  _noneText() {
    const { q, source } = this._search.question;
    if (q !== "") return `No file is found for “${q}”.${this._readText()}`;
    const filtered = source !== "" && this._options.accept !== "";
    return filtered ? "No file here has an accepted type." : "There are no files yet.";
  }

  _countText() {
    const { files, total, truncated, question, letters } = this._search;
    const all = truncated ? `more than ${formatCount(total)} files` : counted(total, "file");
    const found = letters === null ? "found" : `found by letters in the name.${this._readText()}`;
    const kind = question.q === "" ? "newest first" : found;
    if (files.length >= MAX_FOUND) return `The first ${formatCount(MAX_FOUND)} of ${all}: search to see others`;
    if (files.length === total) return `${all}, ${kind}`;
    return `${formatCount(files.length)} of ${all}, ${kind}`;
  }

  /** How far names were read for letters; "" where all were. */
  _readText() {
    const { letters } = this._search;
    if (letters === null || letters.complete) return "";
    return ` The names of the newest ${formatCount(letters.examined)} files were read.`;
  }

  _drawProblem() {
    const { error } = this._search;
    const shown = !this._problem.hidden;
    if ((error !== null) === shown) return;
    const focused = this._problem.contains(document.activeElement);
    this._problem.hidden = error === null;
    if (error === null) {
      this._problem.replaceChildren();
      if (focused) this._field.focus();
      return;
    }
    this._problem.replaceChildren(
      element("p", {}, `The files could not be fetched. ${explained(error)}`),
      button("Try again", () => this._search.retry()),
    );
  }
}
