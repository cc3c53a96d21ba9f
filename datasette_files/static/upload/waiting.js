/**
 * The uploads that were interrupted, before a reload or a crash, and wait for their files to be chosen
 * again: a browser gives a page no file that was not chosen. Leaves out going on (resumable.js).
 */

import { button, element, setText } from "../shared/dom.js";
import { counted, formatBytes, formatCount, plain } from "../shared/format.js";
import { ApiError } from "../shared/request.js";
import { drop } from "./resumable.js";
import { offsetOf } from "./tus.js";

/** @import { Kept, KeptUploads } from "./kept.js" */
/** @import { UploadQueue } from "./queue.js" */

/** How many are shown; the server is asked about each. */
const SHOWN = 10;
/** Milliseconds that pass after a change before they are looked for: changes come together. */
const PAUSE = 100;

export class WaitingUploads {
  /**
   * @param {KeptUploads} kept
   * @param {UploadQueue} queue What it holds does not wait.
   * @param {() => string} below The addresses of uploads to this place begin so.
   * @param {() => void} leave Moves the focus away from the list when it disappears.
   */
  constructor(kept, queue, below, leave) {
    this._kept = kept;
    this._queue = queue;
    this._below = below;
    this._leave = leave;
    this._timer = 0;
    /** Bytes by address, of what the server was asked about. @type {Map<string, number | null>} */
    this._sent = new Map();
    this._words = element("p", { class: "upload-waits", role: "status" });
    this._rows = element("ul", { class: "upload-rows", "aria-label": "Interrupted uploads" });
    this._more = element("p", { class: "upload-more", hidden: true });
    this.element = element("div", { class: "upload-waiting" }, this._words);
    kept.addEventListener("change", () => this._soon());
    queue.addEventListener("cleared", () => this._soon());
    this._soon();
  }

  _soon() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._look(), PAUSE);
  }

  async _look() {
    const held = await this._kept.held();
    for (const { address } of this._queue.items) if (address !== null) held.add(address);
    for (const address of held) this._sent.delete(address); // it moves
    const all = (await this._kept.list(this._below())).filter(({ address }) => !held.has(address));
    const shown = [];
    for (const kept of all.slice(0, SHOWN)) if (await this._waits(kept)) shown.push(kept);
    this._draw(shown, Math.max(0, all.length - SHOWN));
  }

  /** Ask the server, once, whether an upload is there and this person's. @param {Kept} kept */
  async _waits({ address, size }) {
    if (!this._sent.has(address)) {
      try {
        const sent = await offsetOf(address);
        this._sent.set(address, sent);
      } catch (error) {
        const { code } = ApiError.from(error);
        if (code === "permission_denied") return false; // another person's, at the same browser
        if (code === "expired" || code === "not_found") {
          await this._kept.forget(address);
          return false;
        }
        this._sent.set(address, null); // the server cannot be asked now
      }
    }
    // With all its bytes it became a file.
    if (this._sent.get(address) !== size) return true;
    await this._kept.forget(address);
    return false;
  }

  /** @param {Kept[]} shown @param {number} more How many are not shown. */
  _draw(shown, more) {
    const count = shown.length + more;
    const again = shown.length === 1 ? "Choose the file again to go on." : "Choose the files again to go on.";
    const hadFocus = this.element.contains(document.activeElement);
    this.element.dataset.count = String(count);
    setText(this._words, count === 0 ? "" : `${counted(count, "upload")} ${count === 1 ? "waits" : "wait"}. ${again}`);
    setText(this._more, `${formatCount(more)} more`);
    this._more.hidden = more === 0;
    this._rows.replaceChildren(...shown.map((kept) => this._row(kept)));
    if (count === 0) this.element.replaceChildren(this._words);
    else this.element.replaceChildren(this._words, this._rows, this._more);
    if (!hadFocus) return;
    const next = this._rows.querySelector("button");
    if (next) next.focus();
    else this._leave();
  }

  /** @param {Kept} kept */
  _row({ address, name: written, size }) {
    const name = plain(written);
    const sent = this._sent.get(address);
    const far = sent == null ? formatBytes(size) : `${formatBytes(sent)} of ${formatBytes(size)} arrived`;
    const title = element("p", { class: "upload-title" }, element("bdi", { class: "upload-name" }, name));
    const bar = element("progress", { max: String(size), value: String(sent ?? 0), "aria-label": `Progress of ${name}` });
    const status = element("p", { class: "upload-status" }, far);
    const remove = button("Remove", () => drop(this._kept, address), { "aria-label": `Remove ${name}` });
    const what = element("div", { class: "upload-what" }, title, bar, status);
    return element("li", { class: "upload-row" }, what, element("div", { class: "upload-buttons" }, remove));
  }
}
