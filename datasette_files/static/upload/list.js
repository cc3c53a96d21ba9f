/**
 * The list of a queue's files on the page: the summary, and a row for each file that windowOf shows.
 * Draws at most ten times a second, and a long list, which moves faster than anybody reads, once.
 */

import { copyFrom } from "../shared/clipboard.js";
import { element, setText } from "../shared/dom.js";
import { formatCount } from "../shared/format.js";
import { UploadRow } from "./row.js";
import { UploadSummary } from "./summary.js";
import { isLong, windowOf } from "./window.js";

/** @import { UploadItem, UploadQueue } from "./queue.js" */
/** @import { Action } from "./row.js" */

/** Milliseconds between two drawings. */
const PAUSE = 100;
const PAUSE_OF_LONG = 1000;
/** Milliseconds after which speeds are updated although nothing happened. */
const IDLE = 1000;

export class UploadList {
  /**
   * @param {UploadQueue} queue
   * @param {{linked: boolean, label: string, page: () => string, leave: () => void,
   *   cancelAll: () => void}} options `linked`: names are links to the files' pages. `label` and
   *   `page`: name and address of the page that lists them all. `leave` moves the focus away from a
   *   list that disappears.
   */
  constructor(queue, { linked, label, page, leave, cancelAll }) {
    this._queue = queue;
    this._linked = linked;
    this._leave = leave;
    /** @type {Map<UploadItem, UploadRow>} */
    this._rows = new Map();
    this._timer = 0;
    this._due = 0;
    this._idle = 0;
    this._drawn = 0;
    this._summary = new UploadSummary(queue, { label, page: linked ? page : null, cancelAll });
    this._before = element("p", { class: "upload-more", hidden: true });
    this._after = element("p", { class: "upload-more", hidden: true });
    this._items = element("ul", { class: "upload-rows", "aria-label": "Files" });
    /** For screen readers; some announce only changes of an element that was on the page before. */
    this.live = this._summary.live;
    this.element = element("div", { class: "upload-list", hidden: true });
    this.element.append(this._summary.element, this._before, this._items, this._after);
    queue.addEventListener("change", () => this._soon(isLong(queue.items.size) ? PAUSE_OF_LONG : PAUSE));
    queue.addEventListener("finished", () => this._soon(0));
    this._soon(0); // the queue may hold files already
  }

  /** Draw with the next frame. @param {number} wait Least milliseconds since the last drawing. */
  _soon(wait) {
    const now = performance.now();
    const due = Math.max(now, this._drawn + wait);
    if (this._timer !== 0 && due >= this._due) return;
    clearTimeout(this._timer);
    this._due = due;
    this._timer = setTimeout(() => requestAnimationFrame(() => this._draw()), due - now);
  }

  _draw() {
    this._timer = 0;
    this._drawn = performance.now();
    const { shown, hidden } = windowOf(this._queue.items);
    this._place(shown);
    this._summary.update();
    tell(this._before, [
      [hidden.done + this._queue.past.done, "more done"],
      [hidden.failed, "more failed"],
      [hidden.cancelled, "more cancelled"],
    ]);
    tell(this._after, [[hidden.queued, "more waiting"]]);
    this._show(shown.length > 0);
    clearTimeout(this._idle);
    if (this._queue.busy) this._idle = setTimeout(() => this._soon(0), IDLE);
  }

  /** @param {boolean} shown */
  _show(shown) {
    const lost = !shown && this.element.contains(document.activeElement);
    this.element.hidden = !shown;
    if (lost) this._leave();
  }

  /** @param {UploadItem[]} shown */
  _place(shown) {
    const wanted = new Set(shown);
    for (const [item, row] of this._rows) {
      if (wanted.has(item)) row.update();
      else this._drop(item, row);
    }
    let place = this._items.firstElementChild;
    for (const item of shown) {
      const row = this._rows.get(item) ?? this._make(item);
      // An element that is moved loses its focus, so rows in their right place stay untouched.
      if (row.element === place) place = place.nextElementSibling;
      else this._items.insertBefore(row.element, place);
    }
  }

  /** @param {UploadItem} item */
  _make(item) {
    const row = new UploadRow(item, this._queue, this._act.bind(this), this._linked);
    this._rows.set(item, row);
    return row;
  }

  /** @param {UploadItem} item @param {UploadRow} row */
  _drop(item, row) {
    const near = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const hadFocus = row.element.contains(document.activeElement);
    row.release();
    row.element.remove();
    this._rows.delete(item);
    if (!hadFocus) return;
    const button = near?.querySelector("button");
    if (button) button.focus();
    else this._leave();
  }

  /** @param {Action} action @param {UploadItem} item @param {HTMLButtonElement} button */
  _act(action, item, button) {
    if (action === "copy") copyFrom(button, item.record?.id ?? "");
    else this._queue[action](item);
    this._soon(0);
  }
}

/** @param {HTMLElement} line @param {[number, string][]} numbers Zeros are left out. */
function tell(line, numbers) {
  const parts = numbers.filter(([number]) => number > 0);
  setText(line, parts.map(([number, words]) => `${formatCount(number)} ${words}`).join(", "));
  line.hidden = parts.length === 0;
}
