/**
 * The summary of a queue: one bar, one line of numbers, buttons for all files, and the same in words
 * for screen readers every few seconds.
 */

import { copyFrom } from "../shared/clipboard.js";
import { button, element, setText } from "../shared/dom.js";
import { counted, formatBytes, formatCount, formatDuration, formatSpeed, joined, plain } from "../shared/format.js";
import { messageFor } from "../shared/messages.js";

/** @import { UploadQueue } from "./queue.js" */

/** Milliseconds between two announcements while work runs. */
const ANNOUNCED = 5000;

export class UploadSummary {
  /**
   * @param {UploadQueue} queue
   * @param {{label: string, page: (() => string) | null, cancelAll: () => void}} options Name and
   *   address of the page that lists all files; null if this person may not see it.
   */
  constructor(queue, { label, page, cancelAll }) {
    this._queue = queue;
    this._page = page;
    this._announced = -ANNOUNCED;
    this._title = element("p", { class: "upload-headline" });
    this._bar = element("progress", { "aria-label": "Progress of all files" });
    this._detail = element("p", { class: "upload-status" });
    /** The caller puts it on the page. */
    this.live = element("p", { class: "files-hidden", role: "status" });
    this._link = element("a", { class: "upload-all", hidden: true }, `View in ${label}`);
    this._buttons = {
      retry: button("Retry all failed", () => queue.retryFailed()),
      missing: button("Copy names of failed", () => copyFrom(this._buttons.missing, this._missing())),
      copy: button("Copy all ids", () => copyFrom(this._buttons.copy, this._ids())),
      clear: button("Clear list", () => queue.clear()),
      cancel: button("Cancel all", cancelAll),
    };
    const tools = element("div", { class: "upload-tools" }, this._link);
    tools.append(...Object.values(this._buttons));
    const head = element("div", { class: "upload-head" }, this._title, tools);
    this.element = element("div", { class: "upload-summary" });
    this.element.append(head, this._bar, this._detail);
  }

  update() {
    const { counts, sent, total, speed, left } = this._queue.summary();
    const { moving, expecting } = this._queue;
    const busy = this._queue.busy || expecting;
    setText(this._title, busy ? progressText(counts, expecting) : outcomeText(counts));
    // While busy, the bar counts bytes; afterwards, files.
    const ended = counts.done + counts.failed + counts.cancelled;
    this._bar.max = Math.max(1, busy ? total : ended);
    if (expecting) this._bar.removeAttribute("value"); // of how much is not known yet
    else this._bar.value = busy ? sent : counts.done;
    const detail = [];
    if (expecting) detail.push(`${formatBytes(sent)} of more than ${formatBytes(total)}`);
    else if (busy) detail.push(`${formatBytes(sent)} of ${formatBytes(total)}`);
    else if (counts.done > 0) detail.push(formatBytes(sent));
    const sending = counts.working > counts.interrupted;
    if (sending && speed !== null) detail.push(formatSpeed(speed));
    if (sending && left !== null && !expecting) detail.push(`${formatDuration(left)} left`);
    if (counts.paused > 0 && moving) detail.push(`${formatCount(counts.paused)} paused`);
    if (counts.interrupted > 0) detail.push(`${formatCount(counts.interrupted)} interrupted`);
    if (busy && counts.failed > 0) detail.push(`${formatCount(counts.failed)} failed`);
    setText(this._detail, joined(...detail));
    this.element.dataset.state = !busy ? "done" : sending || counts.queued > 0 ? "busy" : "paused";

    this._offer({
      retry: counts.retryable > 0 && ended > 1,
      missing: !busy && counts.failed > 1,
      copy: !busy && counts.done > 1 && this._ids() !== "",
      clear: !busy,
      cancel: busy,
    });
    if (this._page !== null) this._link.href = this._page();
    // On that page itself the list shows the files already.
    const here = this._link.pathname === location.pathname;
    this._link.hidden = busy || counts.done === 0 || this._page === null || here;
    const percent = Math.floor((100 * sent) / Math.max(1, total));
    const words = `${this._title.textContent}${busy && !expecting ? `, ${percent} percent` : ""}.`;
    this._announce(busy, this._queue.items.size === 0 ? "" : words);
  }

  /** @param {Record<string, boolean>} offered */
  _offer(offered) {
    const focused = document.activeElement;
    for (const [name, tool] of Object.entries(this._buttons)) tool.hidden = !offered[name];
    // A hidden button cannot keep the focus.
    const lost = Object.values(this._buttons).some((tool) => tool === focused && tool.hidden);
    if (lost) Object.values(this._buttons).find((tool) => !tool.hidden)?.focus();
  }

  /** Tell screen readers, but not of every change. @param {boolean} busy @param {string} text */
  _announce(busy, text) {
    if (busy && performance.now() - this._announced < ANNOUNCED) return;
    // The end is announced at once, and the next start too.
    this._announced = busy ? performance.now() : -ANNOUNCED;
    setText(this.live, text);
  }

  /** A line for each file that failed, as the list shows only the first of many: its path, a tab, and why. */
  _missing() {
    const failed = [...this._queue.items].filter(({ state }) => state === "failed");
    const lines = failed.map(({ path, file, error }) => {
      const { title } = messageFor(error?.code ?? "");
      return `${plain(path + file.name)}\t${title}`;
    });
    return lines.join("\n");
  }

  _ids() {
    const latest = Array.from(this._queue.items, ({ record }) => record?.id ?? "").filter(Boolean);
    return [...this._queue.past.ids, ...latest].join("\n");
  }
}

/**
 * @param {{done: number, working: number, queued: number, interrupted: number, paused: number}} counts
 * @param {boolean} expecting Whether there will be more files.
 */
function progressText({ done, working, queued, interrupted, paused }, expecting) {
  const number = done + working + queued + paused;
  if (number === 0) return "Reading the files";
  const known = counted(number, "file");
  const all = expecting ? `more than ${known}` : known;
  const moving = working > interrupted;
  const doing = moving ? "Uploading" : interrupted > 0 ? "Interrupted" : queued > 0 ? "Uploading" : "Paused";
  return `${doing}: ${formatCount(done)} of ${all} done`;
}

/** @param {{done: number, failed: number, cancelled: number}} counts */
function outcomeText({ done, failed, cancelled }) {
  const words = { uploaded: done, failed, cancelled };
  const told = Object.entries(words).filter(([, number]) => number > 0);
  if (told.length === 0) return "0 files uploaded";
  const numbers = told.map(([, number], at) => (at === 0 ? counted(number, "file") : formatCount(number)));
  return told.map(([word], at) => `${numbers[at]} ${word}`).join(", ");
}
