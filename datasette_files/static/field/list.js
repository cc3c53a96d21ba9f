/**
 * The files of a field in their order. Files are added, replaced, removed, and moved with buttons or
 * by dragging. Leaves out how the order is written to the row (control.js).
 */

import { element } from "../shared/dom.js";
import { plain } from "../shared/format.js";
import { FileItem } from "./item.js";
import { moved } from "./value.js";

/** @import { ItemAction } from "./item.js" */
/** @import { FileRecords, ShownFile } from "../shared/file-records.js" */

/** Marks a drag as one of ours; browsers start none without data. */
const DRAGGED = "application/x-datasette-file";

export class FieldList {
  /**
   * @param {FileRecords} records
   * @param {{several: boolean, readOnly: boolean, name: string,
   *   changed: (words: string) => void, replace: (item: FileItem) => void,
   *   version: (item: FileItem) => void}} options `changed` gets a sentence on what happened; `version`
   *   is to upload a new version.
   */
  constructor(records, { several, readOnly, name, changed, replace, version }) {
    this._records = records;
    this._several = several;
    this._changed = changed;
    this._replace = replace;
    this._version = version;
    this._takesVersions = false;
    /** @type {ItemAction[]} */
    this._actions = several ? ["up", "down", "replace", "version", "remove"] : ["replace", "version", "remove"];
    if (readOnly) this._actions = [];
    /** @type {FileItem[]} */
    this._items = [];
    /** Of uploaded files. @type {WeakMap<FileItem, number>} */
    this._numbers = new WeakMap();
    /** @type {{item: FileItem, before: FileItem[]} | null} */
    this._drag = null;
    this.element = element("ul", { class: "files-field-list", "aria-label": `Files of ${name}` });
    if (several && !readOnly) this._listenToDrags();
  }

  get ids() {
    return this._items.map(({ id }) => id);
  }

  /** The item of a file. @param {string} id */
  item(id) {
    return this._items.find((item) => item.id === id) ?? null;
  }

  /** Show or hide the buttons that upload a new version. @param {boolean} offered */
  offerVersions(offered) {
    this._takesVersions = offered;
    for (const item of this._items) item.offerVersion(offered);
  }

  /** @param {string[]} ids */
  set(ids) {
    this._items = ids.map((id) => this._make(id));
    this._draw();
  }

  /**
   * Add files at the end, or in the place of another. A file of the list stays where it is.
   * @param {ShownFile[]} files @param {FileItem | null} place
   * @param {number | null} [number] Of an uploaded file: its place among those that were chosen with it,
   *   before which others may be uploaded.
   */
  add(files, place, number = null) {
    const old = this._several ? place : (this._items[0] ?? null);
    const fresh = files.filter(({ id }) => !this.ids.includes(id));
    if (fresh.length === 0) return;
    const made = fresh.map(({ id }) => this._make(id));
    const at = old === null ? -1 : this._items.indexOf(old);
    if (number !== null) for (const item of made) this._numbers.set(item, number);
    if (at < 0) this._items = this._withNew(made, number);
    else this._items = [...this._items.slice(0, at), ...made, ...this._items.slice(at + 1)];
    const focused = old?.element.contains(document.activeElement) ?? false;
    this._draw();
    if (focused || !document.activeElement?.checkVisibility()) made[0].focus("replace");
    const names = fresh.map(({ filename }) => plain(filename)).join(", ");
    this._changed(old === null ? `${names} added` : `${names} takes the place of ${old.name}`);
  }

  /** The items with new ones at the end, but before files that were chosen later. @param {FileItem[]} made
   * @param {number | null} number */
  _withNew(made, number) {
    const later = this._items.findIndex((item) => (this._numbers.get(item) ?? -1) > (number ?? Infinity));
    const at = later < 0 ? this._items.length : later;
    return [...this._items.slice(0, at), ...made, ...this._items.slice(at)];
  }

  /** @param {string} id */
  _make(id) {
    const act = (/** @type {ItemAction} */ action, /** @type {FileItem} */ item) => this._act(action, item);
    const made = new FileItem(id, this._records, act, this._actions);
    made.offerVersion(this._takesVersions);
    return made;
  }

  /** @param {ItemAction} action @param {FileItem} item */
  _act(action, item) {
    const at = this._items.indexOf(item);
    if (action === "replace") this._replace(item);
    else if (action === "version") this._version(item);
    else if (action === "remove") this._remove(item, at);
    else {
      this._items = moved(this._items, at, action === "up" ? at - 1 : at + 1);
      this._draw();
      item.focus(action);
      this._tellPlace(item);
    }
  }

  /** @param {FileItem} item @param {number} at */
  _remove(item, at) {
    this._items = this._items.filter((other) => other !== item);
    this._draw();
    // To its neighbour; the listener of `changed` finds a place if there is none.
    (this._items[at] ?? this._items.at(-1))?.focus("remove");
    this._changed(`${item.name} removed`);
  }

  /** @param {FileItem} item */
  _tellPlace(item) {
    this._changed(`${item.name} is now ${this._items.indexOf(item) + 1} of ${this._items.length}`);
  }

  _draw() {
    const wanted = this._items.map((item) => item.element);
    for (const there of [...this.element.children]) {
      if (!wanted.includes(/** @type {HTMLLIElement} */ (there))) there.remove();
    }
    wanted.forEach((item, at) => {
      const there = this.element.children[at] ?? null;
      if (there !== item) this.element.insertBefore(item, there);
    });
    this._items.forEach((item, at) => item.place(at, this._items.length));
    this.element.hidden = this._items.length === 0;
    if (this._several && this._actions.length > 0) {
      for (const item of wanted) item.draggable = wanted.length > 1;
    }
  }

  // Drag

  _listenToDrags() {
    const list = this.element;
    list.addEventListener("dragstart", (event) => this._start(event));
    list.addEventListener("dragover", (event) => this._over(event));
    list.addEventListener("drop", (event) => {
      if (this._drag !== null) event.preventDefault();
    });
    list.addEventListener("dragend", (event) => this._end(event));
  }

  /** @param {EventTarget | null} target */
  _itemAt(target) {
    return this._items.find(({ element: row }) => target instanceof Node && row.contains(target));
  }

  /** @param {DragEvent} event */
  _start(event) {
    const item = this._itemAt(event.target);
    if (item === undefined || event.dataTransfer === null) return;
    this._drag = { item, before: this._items };
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData(DRAGGED, item.id);
    item.element.toggleAttribute("data-dragged", true);
  }

  /** @param {DragEvent} event */
  _over(event) {
    if (this._drag === null) return;
    event.preventDefault();
    const { item } = this._drag;
    const over = this._itemAt(event.target);
    if (over === undefined || over === item) return;
    const [from, to] = [this._items.indexOf(item), this._items.indexOf(over)];
    const { top, height } = over.element.getBoundingClientRect();
    // Only past its middle: two items of different heights would swap again and again.
    const past = event.clientY > top + height / 2;
    if (past !== from < to) return;
    this._items = moved(this._items, from, to);
    this._draw();
  }

  /** @param {DragEvent} event */
  _end(event) {
    if (this._drag === null) return;
    const { item, before } = this._drag;
    this._drag = null;
    item.element.removeAttribute("data-dragged");
    if (event.dataTransfer?.dropEffect === "none") {
      this._items = before; // dropped outside, or cancelled
      this._draw();
    } else if (before.some((other, at) => other !== this._items[at])) this._tellPlace(item);
  }
}
