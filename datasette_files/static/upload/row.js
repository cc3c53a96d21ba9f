/**
 * The row of one upload: picture, name, progress, outcome, buttons. Leaves out which files have a row
 * (list.js).
 */

import { button, element, icon, setText } from "../shared/dom.js";
import { formatBytes, formatDuration, formatSpeed, plain } from "../shared/format.js";
import { TEXT, messageFor } from "../shared/messages.js";
import { UploadPreview } from "./preview.js";

/** @import { UploadItem, UploadQueue } from "./queue.js" */
/** @typedef {"cancel" | "pause" | "resume" | "retry" | "remove" | "copy"} Action */

const STATUS = {
  queued: "Waiting",
  checking: "Checking",
  preparing: "Preparing",
  interrupted: "Interrupted",
  paused: "Paused",
  finishing: "Finishing",
  done: "Uploaded",
  cancelled: "Cancelled",
};

/** @type {Record<Action, {icon?: "close" | "retry" | "pause" | "resume", text?: string, label: string}>} */
const BUTTONS = {
  cancel: { icon: "close", label: "Cancel" },
  pause: { icon: "pause", label: "Pause" },
  resume: { icon: "resume", text: "Go on", label: "Go on with" },
  remove: { icon: "close", label: "Remove" },
  retry: { icon: "retry", text: "Retry", label: "Retry" },
  copy: { text: "Copy id", label: "Copy id of" },
};

export class UploadRow {
  /**
   * @param {UploadItem} item
   * @param {UploadQueue} queue
   * @param {(action: Action, item: UploadItem, button: HTMLButtonElement) => void} act
   * @param {boolean} linked Whether the names of uploaded files are links.
   */
  constructor(item, queue, act, linked) {
    this.item = item;
    this._queue = queue;
    this._act = act;
    this._linked = linked;
    this._actions = "";
    this._preview = new UploadPreview(item.file);

    this._label = plain(item.file.name);
    this._name = element("bdi", { class: "upload-name" }, this._label);
    const title = element("p", { class: "upload-title" });
    if (item.path !== "") title.append(element("bdi", { class: "upload-path" }, plain(item.path)));
    title.append(this._name);
    this._bar = element("progress", { "aria-label": `Progress of ${this._label}` });
    this._facts = [element("span"), element("span", { class: "upload-speed" }), element("span")];
    this._status = element("p", { class: "upload-status" }, ...this._facts);
    this._next = element("p", { class: "upload-next", hidden: true });
    this._twin = element("p", { class: "upload-next", hidden: true });
    this._buttons = element("div", { class: "upload-buttons" });
    const told = [this._status, this._next, this._twin];
    const what = element("div", { class: "upload-what" }, title, this._bar, ...told);
    this.element = element("li", { class: "upload-row" });
    this.element.append(this._preview.element, what, this._buttons);
    this.update();
  }

  /** Show the item as it is now. Writes only what has changed. */
  update() {
    const { item } = this;
    this.element.dataset.state = item.state;
    // At least 1, so that the bar of an empty file can be full.
    this._bar.max = Math.max(1, item.file.size);
    this._bar.value = item.state === "done" ? this._bar.max : item.sent;
    const facts = this._statusFacts();
    this._facts.forEach((fact, place) => setText(fact, facts[place] ?? ""));
    const next = this._nextStep();
    setText(this._next, next);
    this._next.hidden = next === "";
    this._link();
    this._tellTwin();
    this._offer();
  }

  /** Free what the row holds; it leaves the page. */
  release() {
    this._preview.release();
  }

  /** What to do, or what will happen; "" while all goes well. */
  _nextStep() {
    const { title, next } = messageFor(this.item.error?.code ?? "");
    if (this.item.state === "interrupted") return `${title}. ${TEXT.goesOn}`;
    return this.item.state === "failed" ? next : "";
  }

  /** @returns {string[]} The state, and while bytes are sent the speed and the time left. */
  _statusFacts() {
    const { item } = this;
    const size = formatBytes(item.file.size);
    if (item.state === "failed") {
      const { title } = messageFor(item.error?.code ?? "");
      return [item.error?.message ? `${title}. ${item.error.message}` : `${title}.`];
    }
    if (item.state === "paused" || item.state === "interrupted") {
      return [`${STATUS[item.state]} at ${formatBytes(item.sent)} of ${size}`];
    }
    if (item.state !== "sending") return [`${STATUS[item.state]} · ${size}`];
    const { speed, left } = this._queue.pace(item);
    return [
      `${formatBytes(item.sent)} of ${size}`,
      speed === null ? "" : formatSpeed(speed),
      left === null ? "" : `${formatDuration(left)} left`,
    ];
  }

  _link() {
    const { record } = this.item;
    if (record === null || !this._linked || this._name.firstElementChild !== null) return;
    this._name.replaceChildren(element("a", { href: record.url }, this._label));
  }

  /** Tell that the source has the same bytes already. */
  _tellTwin() {
    const twin = this.item.record?.duplicate_of;
    if (twin === undefined || !this._twin.hidden) return;
    const name = element("bdi", {}, plain(twin.filename));
    // In a new tab: a row that is edited around the list is not saved yet.
    const link = element("a", { href: twin.url, target: "_blank", rel: "noopener" }, name);
    this._twin.replaceChildren("The same file is here already: ", link);
    this._twin.hidden = false;
  }

  /** Offer the buttons of this state. If they are the same as before they stay, and so does the focus. */
  _offer() {
    const { item } = this;
    const actions = /** @type {Action[]} */ ([]);
    if (item.state === "done" && item.record?.id) actions.push("copy");
    if (item.retryable) actions.push("retry");
    if (item.pausable) actions.push("pause");
    if (item.state === "paused") actions.push("resume");
    if (item.cancellable) actions.push("cancel");
    if (item.state === "failed" || item.state === "cancelled") actions.push("remove");
    if (actions.join() === this._actions) return;
    this._actions = actions.join();
    const hadFocus = this._buttons.contains(document.activeElement);
    this._buttons.replaceChildren(...actions.map((action) => this._button(action)));
    if (hadFocus) this._refocus();
  }

  /** Focus another button: without it, keyboard users would lose their place. */
  _refocus() {
    const first = this._buttons.querySelector("button");
    if (first !== null) return first.focus();
    this.element.tabIndex = -1;
    this.element.focus();
  }

  /** @param {Action} action */
  _button(action) {
    const { icon: drawn, text, label } = BUTTONS[action];
    const content = [...(drawn ? [icon(drawn)] : []), ...(text ? [text] : [])];
    const named = { "data-action": action, "aria-label": `${label} ${this._label}` };
    const made = button(content, () => this._act(action, this.item, made), named);
    if (!text) made.title = label;
    return made;
  }
}
