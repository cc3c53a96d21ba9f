/**
 * `<datasette-file-upload>`: uploads files to one source. docs/upload-element.md documents it for those
 * who embed it. It joins the queue, the zone and the list, and knows no URL.
 *
 * Pages load this module by an address with the hash of its content. Its imports have plain addresses,
 * so that each module exists once; browsers check at every visit whether they have changed.
 */

import { FilesApi } from "./api.js";
import { define, element } from "./shared/dom.js";
import { FilesElement } from "./shared/files-element.js";
import { formatBytes } from "./shared/format.js";
import { TEXT } from "./shared/messages.js";
import { uploadFile } from "./upload/client.js";
import { chosenFiles, droppedFiles } from "./upload/dropped-files.js";
import { KeptUploads } from "./upload/kept.js";
import { UploadList } from "./upload/list.js";
import { UploadQueue } from "./upload/queue.js";
import { drop } from "./upload/resumable.js";
import { UploadRules } from "./upload/rules.js";
import { WaitingUploads } from "./upload/waiting.js";
import { UploadZone } from "./upload/zone.js";

/** @import { FileRecord } from "./api.js" */
/** @import { Addition, QueueEvent, UploadItem } from "./upload/queue.js" */

export class DatasetteFileUpload extends FilesElement {
  constructor() {
    super();
    /** @type {AbortController | null} */
    this._listening = null;
    /** @type {UploadZone | null} */
    this._zone = null;
    /** Drops and folders that are being read. @type {Set<AsyncIterable<Addition[]>>} */
    this._reading = new Set();
    /** Whether `datasette-files-finished` is still to be told. */
    this._untold = false;
    this._notice = element("p", { class: "upload-notice", role: "status" });
    const kept = new KeptUploads();
    this._kept = kept;
    this._queue = new UploadQueue(
      ({ file, source, folder, replaces }, options) => {
        const place = { folder, replaces, column: this.column ?? undefined };
        return uploadFile(this.api, source, file, { ...options, ...place, kept });
      },
      { drop: (address) => drop(kept, address) },
    );
    this._queue.addEventListener("uploaded", (event) => {
      const { record: file, path, number, replaces = null } = itemOf(event);
      this._tell("datasette-file-uploaded", { file, path, number, replaces });
    });
    this._queue.addEventListener("failed", (event) => {
      const { file, path, error } = itemOf(event);
      const { code, message } = error ?? {};
      this._tell("datasette-file-failed", { name: file.name, path, code, message });
    });
    /** The state that `datasette-files-state` told last. */
    this._state = "";
    this._queue.addEventListener("change", () => this._tellState());
    this._queue.addEventListener("finished", () => {
      this._untold = true;
      this._finished();
    });
  }

  /** The records of the uploaded files of the list, the latest of very many. @returns {FileRecord[]} */
  get files() {
    return [...this._queue.items].flatMap(({ record }) => (record === null ? [] : [record]));
  }

  /** Whether files are being uploaded, wait, or are paused. */
  get busy() {
    return this._queue.busy || this._reading.size > 0;
  }

  /** How many files of the list have failed. */
  get failed() {
    return this._queue.failed;
  }

  /** The catalog's folder that files go to; "" is the top one. */
  get folder() {
    return this.getAttribute("folder") ?? "";
  }

  /**
   * Take what was dropped beside the element. Must be called while the event is dispatched.
   * @param {DataTransfer} transfer @param {string} [folder] The folder that it goes to.
   */
  drop(transfer, folder = this.folder) {
    this._take(droppedFiles(transfer), folder);
  }

  /** @param {Iterable<File>} files */
  add(files) {
    this._add(chosenFiles(files));
  }

  /**
   * Upload the next version of a file.
   * @param {File} file @param {string} id The file that it replaces. @param {string} source Of that file.
   */
  addVersion(file, id, source) {
    const problem = new UploadRules(this._maxSize, this._accept).problem(file);
    this._queue.add([{ file, source, replaces: id, problem }]);
  }

  cancelAll() {
    this._reading.clear();
    this._queue.expect(false);
    this._queue.cancelAll();
    this._tellState();
  }

  retryFailed() {
    this._queue.retryFailed();
  }

  /** Empty the list except for running uploads. The uploaded files stay stored. */
  clear() {
    this._queue.clear();
  }

  connectedCallback() {
    if (this._zone === null) this._build();
    this._listening = new AbortController();
    const { signal } = this._listening;
    this._zone?.listen(signal);
    window.addEventListener("beforeunload", (event) => this._leaving(event), { signal });
    window.addEventListener("online", () => this._queue.retryFailed("network"), { signal });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this._listening?.abort();
  }

  _removed() {
    this.cancelAll();
  }

  /** Replace the ordinary form, which works without scripts. */
  _build() {
    const label = this.getAttribute("label") ?? this.source;
    const link = this.getAttribute("link");
    this._api ??= link && new FilesApi(this.getAttribute("base-url") ?? "/", undefined, link);
    const [accept, size] = [this._accept, this._maxSize];
    const notes = [];
    if (size !== null) notes.push(`At most ${formatBytes(size)}${this.multiple ? " each" : ""}.`);
    if (accept !== "") notes.push(`Accepted: ${accept.split(",").join(", ")}.`);
    this._zone = new UploadZone(this, {
      note: notes.join(" "),
      accept,
      multiple: this.multiple,
      compact: this.hasAttribute("compact"),
      take: (batches) => this._take(batches),
    });
    const list = new UploadList(this._queue, {
      linked: this.hasAttribute("can-browse"),
      label,
      page: () => this.api.sourcePage(this.source),
      leave: () => this._zone?.focus(),
      cancelAll: () => this.cancelAll(),
    });
    const form = this.querySelector("form");
    const input = form?.querySelector("input[type=file]");
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", `Upload to ${label}`);
    if (form) form.replaceWith(this._zone.element);
    else this.append(this._zone.element);
    this.append(this._notice, list.live, list.element);
    if (!this.hasAttribute("compact")) this.append(this._makeWaiting().element);
    // Files may have been chosen before this module was loaded.
    if (input instanceof HTMLInputElement && input.files) this.add(input.files);
  }

  _makeWaiting() {
    const below = () => this.api.resumableUploads(this.source);
    return new WaitingUploads(this._kept, this._queue, below, () => this._zone?.focus());
  }

  /** @param {AsyncIterable<Addition[]>} batches @param {string} [folder] */
  async _take(batches, folder = this.folder) {
    const around = this.closest("details");
    if (around) around.open = true; // files may have been pasted while it was closed
    this._reading.add(batches);
    this._queue.expect(true);
    this._tellState();
    let found = 0;
    try {
      for await (const batch of batches) {
        if (!this._reading.has(batches)) return; // cancelled meanwhile
        this._notice.textContent = "";
        this._add(found > 0 && !this.multiple ? [] : batch, folder);
        found += batch.length;
        if (this._queue.tooManyFailed) this._notice.textContent = TEXT.manyFailed;
        await this._queue.room();
      }
      if (found === 0) this._notice.textContent = TEXT.noFiles;
      if (found > 1 && !this.multiple) this._notice.textContent = TEXT.leftOut;
    } finally {
      this._reading.delete(batches);
      this._queue.expect(this._reading.size > 0);
      this._finished();
      this._tellState();
    }
  }

  /** @param {Addition[]} additions @param {string} [folder] */
  _add(additions, folder = this.folder) {
    if (additions.length === 0) return;
    const rules = new UploadRules(this._maxSize, this._accept);
    const taken = this.multiple ? additions : this._firstOf(additions);
    this._queue.add(
      taken.map(({ file, path, problem = rules.problem(file) }) => ({
        // Browsers keep some memory for each file, and a folder may hold many of which none is taken.
        file: problem ? new File([], file.name) : file,
        path,
        // A link and a file column have no folders.
        folder: this._sorts ? folderIn(folder, path) : "",
        source: this.source,
        problem,
      })),
    );
  }

  /** Whether files go to folders of the source. */
  get _sorts() {
    return !this.hasAttribute("link") && this.column == null;
  }

  /**
   * The one file to add: it replaces a file that is finished, but none that is being uploaded.
   * @param {Addition[]} additions
   */
  _firstOf(additions) {
    this._queue.clear();
    const taken = this._queue.items.size === 0 ? additions.slice(0, 1) : [];
    const all = taken.length === additions.length;
    this._notice.textContent = all ? "" : TEXT.leftOut;
    return taken;
  }

  _finished() {
    // A folder that is still being read may hold more.
    if (this.busy || !this._untold) return;
    this._untold = false;
    this._tell("datasette-files-finished", { files: this.files, failed: this.failed });
  }

  /** Tell `busy` and `failed`, but not the progress, which changes all the time. */
  _tellState() {
    const { busy, failed } = this;
    if (`${busy} ${failed}` === this._state) return;
    this._state = `${busy} ${failed}`;
    this._tell("datasette-files-state", { busy, failed });
  }

  /** @param {BeforeUnloadEvent} event */
  _leaving(event) {
    // What is paused goes on after a reload.
    if (!this._queue.moving && this._reading.size === 0) return;
    event.preventDefault();
    event.returnValue = "";
  }
}

/**
 * The catalog's folder for a file from a dropped one. What the server would refuse is left out.
 * @param {string} folder @param {string} [path] With a slash at the end.
 */
function folderIn(folder, path = "") {
  const names = path.split("/").filter((name) => !["", ".", ".."].includes(name));
  return [folder, ...names].filter(Boolean).join("/");
}

/** @param {Event} event @returns {UploadItem} */
function itemOf(event) {
  return /** @type {UploadItem} */ (/** @type {QueueEvent} */ (event).item);
}

define("datasette-file-upload", DatasetteFileUpload);
