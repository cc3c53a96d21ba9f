/**
 * The outcome of a bulk action, told at the foot of the window: how many files, the refused ones by name
 * and reason, a way back for some seconds, the address of a new link. It takes the focus, as the button that was
 * pressed is gone: so Tab leads to Undo, and not through the whole list. Leaves out the action.
 */

import { copyFrom } from "../shared/clipboard.js";
import { button, element, focusPlace } from "../shared/dom.js";
import { counted, plain } from "../shared/format.js";

/** Milliseconds that an outcome which needs no reading stays. */
const STAYS = 10000;
/** Refused files that are named. */
const MAX_NAMED = 20;
/** The past tense of each action. @type {Record<string, string>} */
const DONE = {
  delete: "deleted",
  restore: "restored",
  purge: "deleted for good",
  move: "moved to the source",
  tag: "tagged",
  untag: "untagged",
  folder: "moved to the folder",
  share: "shared",
};

export class OutcomeBar {
  constructor() {
    this._lasts = false;
    // It is on the page before its text, so that screen readers announce the text.
    this.element = element("div", { class: "files-outcome", role: "status" });
    this._timer = 0;
    document.querySelector("main")?.append(this.element);
    this.element.addEventListener("pointerenter", () => clearTimeout(this._timer));
    this.element.addEventListener("focusin", ({ target }) => {
      // The bar itself has the focus from the beginning.
      if (target !== this.element) clearTimeout(this._timer);
    });
    for (const event of ["pointerleave", "focusout"]) {
      this.element.addEventListener(event, () => this._leave());
    }
  }

  clear() {
    clearTimeout(this._timer);
    const focused = this.element.contains(document.activeElement);
    this.element.replaceChildren();
    const results = document.getElementById("files-results");
    if (focused && results) focusPlace(results);
  }

  focus() {
    focusPlace(this.element);
  }

  /**
   * @param {string} action
   * @param {any} answer The server's.
   * @param {Map<string, string>} names Of files by id.
   * @param {Record<string, string>} reasons Of refusals by code.
   * @param {() => void} undo
   */
  show(action, answer, names, reasons, undo) {
    const { done, refused, trashed, share } = answer;
    const parts = [];
    if (done || !refused.length) parts.push(element("p", {}, `${counted(done, "file")} ${DONE[action]}.`));
    if (refused.length) parts.push(this._refusals(refused, names, reasons));
    if (share) parts.push(this._link(share.url));
    const actions = element("p", { class: "files-outcome-actions" });
    if (trashed?.length) actions.append(button("Undo", undo, { class: "files-button" }));
    actions.append(button("Close", () => this.clear(), { class: "files-button" }));
    this.element.replaceChildren(...parts, actions);
    this._lasts = Boolean(refused.length || share);
    this.focus();
    this._leave();
  }

  /** @param {string} message */
  tell(message) {
    clearTimeout(this._timer);
    const close = button("Close", () => this.clear(), { class: "files-button" });
    this.element.replaceChildren(element("p", {}, message), close);
    this.focus();
  }

  _leave() {
    clearTimeout(this._timer);
    if (!this._lasts) this._timer = setTimeout(() => this.clear(), STAYS);
  }

  /** @param {{id: string, code: string}[]} refused @param {Map<string, string>} names
   *  @param {Record<string, string>} reasons */
  _refusals(refused, names, reasons) {
    const items = refused.slice(0, MAX_NAMED).map(({ id, code }) => {
      const name = element("bdi", {}, plain(names.get(id) ?? id));
      return element("li", {}, name, `: ${reasons[code] ?? code.replaceAll("_", " ")}`);
    });
    if (refused.length > MAX_NAMED) items.push(element("li", {}, `and ${refused.length - MAX_NAMED} more`));
    const title = element("p", {}, `${counted(refused.length, "file")} left unchanged:`);
    return element("div", { class: "files-refused" }, title, element("ul", {}, ...items));
  }

  /** @param {string} url */
  _link(url) {
    const field = element("input", { readonly: true, value: url, "aria-label": "Address of the link" });
    const copy = button("Copy address", () => copyFrom(copy, url), { class: "files-button files-primary" });
    const note = element("p", { class: "files-note" }, "Copy it now: it will not be shown again.");
    return element("div", {}, note, element("p", { class: "files-outcome-actions" }, field, copy));
  }
}
