/**
 * The base of `<datasette-file-upload>` and `<datasette-file-picker>`: the attributes for the source and
 * the files it accepts, the API, events. Leaves out what they show.
 */

import { FilesApi } from "../api.js";

/** @import { ColumnPlace } from "../api.js" */

export class FilesElement extends HTMLElement {
  constructor() {
    super();
    /** @type {FilesApi | null} */
    this._api = null;
    /** The file column that the files are for; its rules then apply too. @type {ColumnPlace | null} */
    this.column = null;
  }

  /** The API of the Datasette at `base-url`, unless another was given. */
  get api() {
    this._api ??= new FilesApi(this.getAttribute("base-url") ?? "/");
    return this._api;
  }

  set api(api) {
    this._api = api;
  }

  get source() {
    return this.getAttribute("source") ?? "";
  }

  get multiple() {
    return this.hasAttribute("multiple");
  }

  get _accept() {
    return this.getAttribute("accept") ?? "";
  }

  /** In bytes; null for no limit. */
  get _maxSize() {
    const size = Number.parseInt(this.getAttribute("max-size") ?? "", 10);
    return Number.isNaN(size) ? null : size;
  }

  disconnectedCallback() {
    // An element that only moves is connected again by then.
    queueMicrotask(() => {
      if (!this.isConnected) this._removed();
    });
  }

  /** The element has left the page for good. */
  _removed() {}

  /** @param {string} type @param {object} detail */
  _tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { bubbles: true, detail }));
  }
}
