/**
 * Gives Datasette's dialogs that insert and edit rows a field for the column types `file` and `files`,
 * by its hook makeColumnField. The field itself (field/control.js) is loaded only on pages that have
 * such a dialog; until it is there, the value is edited as text.
 */

/** @import { ColumnField, FileFieldControl, Tools } from "./field/control.js" */
/** @typedef {typeof import("./field/parts.js")} Parts */

/** Buttons that open Datasette's dialogs. */
const OPENERS = 'button[data-row-action="edit"], button[data-table-action="insert-row"]';
const STYLES = ["upload.css", "picker.css"];

/** Datasette's base_url: this module is at -/static-plugins/datasette_files/ below it. */
const BASE = new URL("../../../", import.meta.url).pathname;

/** The fields of a page. They load the parts once, and again after a failure. */
class FileFields {
  constructor() {
    /** @type {Promise<Parts> | null} */
    this._asked = null;
    /** @type {Parts | null} */
    this._parts = null;
    /** @type {WeakMap<object, Tools>} */
    this._tools = new WeakMap();
  }

  /** @returns {Promise<Parts>} */
  load() {
    this._asked ??= import("./field/parts.js").then(
      (parts) => {
        for (const name of STYLES) addStyle(name);
        this._parts = parts;
        return parts;
      },
      (error) => {
        this._asked = null;
        throw error;
      },
    );
    return this._asked;
  }

  /** The control of one field, in the form that makeColumnField returns. */
  control() {
    /** @type {FileFieldControl | null} */
    let made = null;
    let [focused, ended] = [false, false];
    /** @param {Parts} parts @param {ColumnField} field @returns {HTMLElement} */
    const make = (parts, field) => {
      made = new parts.FileFieldControl(field, this._toolsOf(parts, field));
      return made.element;
    };
    return {
      render: (/** @type {ColumnField} */ field) => {
        if (this._parts !== null) return make(this._parts, field);
        const place = document.createElement("div");
        place.append(field.input);
        this.load().then(
          (parts) => {
            if (ended) return;
            place.append(make(parts, field));
            if (focused) made?.focus();
          },
          (error) => {
            console.error(error);
            if (!ended) place.append(unfetched());
          },
        );
        return place;
      },
      focus: (/** @type {ColumnField} */ field) => {
        focused = true;
        if (made === null) field.input.focus();
        else made.focus();
      },
      destroy: () => {
        ended = true;
        made?.destroy();
      },
    };
  }

  /**
   * The tools that the fields of an open dialog share. The next dialog fetches files and sources anew.
   * @param {Parts} parts @param {ColumnField} field
   */
  _toolsOf(parts, field) {
    // A dialog makes all of its fields at once, so they find the same tools.
    const shared = this._tools.get(field.form ?? field) ?? parts.makeTools(BASE);
    this._tools.set(field.form ?? field, shared);
    queueMicrotask(() => this._tools.delete(field.form ?? field));
    return shared;
  }
}

/** @param {string} name */
function addStyle(name) {
  const { pathname } = new URL(name, import.meta.url);
  const there = [...document.styleSheets].some(({ href }) => href?.split("?")[0].endsWith(pathname));
  if (there) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = pathname;
  document.head.append(link);
}

function unfetched() {
  const note = document.createElement("p");
  note.setAttribute("role", "alert");
  note.textContent = "Files cannot be chosen now: check your connection, then close and reopen this dialog.";
  return note;
}

/** @param {any} manager Datasette's. */
function register(manager) {
  const fields = new FileFields();
  manager.registerPlugin("datasette-files", {
    version: "1",
    makeColumnField: (/** @type {any} */ { columnType }) =>
      ["file", "files"].includes(columnType?.type) ? fields.control() : null,
  });
  // Ahead of time; a failure is reported, and loading repeated, when a dialog opens.
  if (document.querySelector(OPENERS)) fields.load().catch(() => {});
}

const { __DATASETTE__: manager } = /** @type {any} */ (window);
if (manager) register(manager);
else {
  document.addEventListener("datasette_init", (event) => {
    register(/** @type {CustomEvent} */ (event).detail);
  });
}
