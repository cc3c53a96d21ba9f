/**
 * The files of a picker as a listbox: which option is active, which files are chosen, which cannot be
 * chosen, and why. The focus may be elsewhere, as in the search field (ARIA Authoring Practices,
 * "Combobox"). Leaves out where the files come from.
 */

import { element, icon } from "../shared/dom.js";
import { drawFile } from "../shared/drawing.js";
import { joined } from "../shared/format.js";

/** @import { FileRecord } from "../api.js" */

/** Files that Page Up and Page Down move by. */
const LEAP = 8;
/** Lists made so far; part of their ids. */
let lists = 0;

/** @param {string} written In UTC, as the API writes it. @returns {string} The local day, or "". */
function day(written) {
  const moment = new Date(`${written.replace(" ", "T")}Z`);
  return Number.isNaN(moment.valueOf()) ? "" : moment.toLocaleDateString();
}

export class PickerListbox {
  /**
   * @param {{multiple: boolean, refusal: (file: FileRecord) => string,
   *   isChosen: (file: FileRecord) => boolean, sourceName: (slug: string) => string,
   *   pick: (file: FileRecord) => void, nearEnd: () => void}} options `refusal`: why a file cannot
   *   be chosen, or "". `sourceName`: "" if it is not shown.
   */
  constructor({ multiple, refusal, isChosen, sourceName, pick, nearEnd }) {
    this._refusal = refusal;
    this._isChosen = isChosen;
    this._sourceName = sourceName;
    this._pick = pick;
    this._nearEnd = nearEnd;
    this.id = `files-picker-options-${(lists += 1)}`;
    /** @type {FileRecord[]} */
    this._files = [];
    this._active = -1;
    /** Whether the files stand side by side. */
    this._grid = false;
    this.element = element("ul", {
      class: "picker-options",
      id: this.id,
      role: "listbox",
      tabindex: "0",
      "aria-label": "Files",
      "aria-multiselectable": String(multiple),
    });
    this.element.addEventListener("click", (event) => this._clicked(event));
    this.element.addEventListener("scroll", () => this._scrolled(), { passive: true });
  }

  /** The id of the active option, or "". */
  get activeId() {
    return this._active < 0 ? "" : this._optionId(this._active);
  }

  get grid() {
    return this._grid;
  }

  /** Show the files as pictures side by side, or as a list. */
  set grid(grid) {
    this._grid = grid;
    this.element.classList.toggle("picker-grid", grid);
    for (const option of this.element.children) this._size(/** @type {HTMLElement} */ (option));
  }

  /** @param {HTMLElement} option */
  _size(option) {
    const picture = option.querySelector("img");
    if (picture) picture.width = picture.height = this._grid ? 160 : 48;
  }

  /** How many files stand side by side. */
  get _columns() {
    const [first, ...others] = /** @type {HTMLElement[]} */ ([...this.element.children]);
    if (!this._grid || first === undefined) return 1;
    return 1 + others.filter(({ offsetTop }) => offsetTop === first.offsetTop).length;
  }

  /** @param {FileRecord[]} files If the list has only grown, its options stay as they are. */
  show(files) {
    const kept = this._files.length > 0 && this._files.every((file, at) => file === files[at]);
    if (!kept) {
      this._files = [];
      this._active = -1;
      this.element.replaceChildren();
      this.element.scrollTop = 0;
    }
    const more = files.slice(this._files.length);
    const start = this._files.length;
    this._files = files;
    this.element.append(...more.map((file, at) => this._option(file, start + at)));
  }

  /** Update the marks of the chosen files. */
  mark() {
    this._files.forEach((file, at) => {
      this.element.children[at].setAttribute("aria-selected", String(this._isChosen(file)));
    });
  }

  /**
   * Move the active option with a key.
   * @param {string} key
   * @returns {boolean} Whether the key is one that moves.
   */
  move(key) {
    const last = this._files.length - 1;
    const columns = this._columns;
    const aims = /** @type {Record<string, number>} */ ({
      ArrowDown: this._active + columns,
      ArrowUp: this._active - columns,
      ...(this._grid ? { ArrowRight: this._active + 1, ArrowLeft: this._active - 1 } : {}),
      PageDown: this._active + LEAP,
      PageUp: this._active - LEAP,
      Home: 0,
      End: last,
    });
    if (!Object.hasOwn(aims, key)) return false;
    const aim = this._active < 0 && key !== "End" ? 0 : aims[key];
    if (last >= 0) this._activate(Math.max(0, Math.min(last, aim)));
    return true;
  }

  /** Pick the active option. @returns {boolean} Whether there is one. */
  pickActive() {
    if (this._active < 0) return false;
    this._pick(this._files[this._active]);
    return true;
  }

  /** Make the first file active that can be chosen, and pick it. @param {FileRecord[]} files */
  pickFirst(files) {
    const at = Math.max(0, files.findIndex((file) => this._refusal(file) === ""));
    if (files.length === 0) return;
    this._activate(at);
    this.pickActive();
  }

  /** @param {number} at */
  _activate(at) {
    this.element.children[this._active]?.removeAttribute("data-active");
    this._active = at;
    const option = this.element.children[at];
    option.setAttribute("data-active", "");
    option.scrollIntoView({ block: "nearest" });
    this.element.setAttribute("aria-activedescendant", option.id);
    if (at >= this._files.length - LEAP) this._nearEnd();
  }

  /** @param {number} at */
  _optionId(at) {
    return `${this.id}-${at}`;
  }

  /** @param {FileRecord} file @param {number} at */
  _option(file, at) {
    const refusal = this._refusal(file);
    const { picture, label, size } = drawFile(file, 48);
    label.className = "picker-name";
    const facts = joined(size || "unknown size", day(file.created_at), this._sourceName(file.source_slug));
    const what = element("span", { class: "picker-what" }, label);
    what.append(element("span", { class: "picker-facts" }, facts));
    if (refusal !== "") what.append(element("span", { class: "picker-refusal" }, refusal));
    const option = element("li", { class: "picker-option", role: "option", id: this._optionId(at) });
    option.setAttribute("aria-selected", String(this._isChosen(file)));
    if (refusal !== "") option.setAttribute("aria-disabled", "true");
    option.append(picture, what, element("span", { class: "picker-check" }, icon("check")));
    this._size(option);
    return option;
  }

  /** @param {MouseEvent} event */
  _clicked(event) {
    if (!(event.target instanceof Element)) return;
    const option = event.target.closest("[role=option]");
    if (option === null) return;
    this._activate(Array.prototype.indexOf.call(this.element.children, option));
    this.pickActive();
  }

  _scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    if (scrollHeight - scrollTop - clientHeight < clientHeight) this._nearEnd();
  }
}
