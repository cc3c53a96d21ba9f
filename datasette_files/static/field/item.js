/**
 * One file of a field: picture, name, facts and buttons. A file that was deleted, or that this person
 * may not see, is shown by its id and stays until it is removed. Leaves out the order and the value
 * (control.js).
 */

import { button, element, icon, setText } from "../shared/dom.js";
import { drawFile } from "../shared/drawing.js";
import { joined } from "../shared/format.js";
import { TEXT, explained } from "../shared/messages.js";

/** @import { ShownFile, FileRecords } from "../shared/file-records.js" */
/** @typedef {"up" | "down" | "replace" | "version" | "remove"} ItemAction */

const LABELS = {
  ...{ up: "Move up", down: "Move down", replace: "Replace" },
  ...{ version: "New version", remove: "Remove" },
};

export class FileItem {
  /**
   * @param {string} id
   * @param {FileRecords} records
   * @param {(action: ItemAction, item: FileItem) => void} act
   * @param {ItemAction[]} actions The buttons that are offered.
   */
  constructor(id, records, act, actions) {
    this.id = id;
    /** The name that messages use. */
    this.name = id;
    this._records = records;
    this._picture = element("span", { class: "upload-tile", "aria-hidden": "true" });
    this._name = element("bdi", { class: "picker-name" }, id);
    this._facts = element("span", { class: "picker-facts" });
    this._again = button("Try again", () => this.load(), { hidden: true });
    /** @type {Map<ItemAction, HTMLButtonElement>} */
    this._buttons = new Map();
    const tools = element("span", { class: "files-field-buttons" });
    for (const action of actions) {
      const label = LABELS[action];
      // The names of several files need the room.
      const inWords = action === "replace" || action === "version" || actions.length < 4;
      const content = inWords ? label : icon(action === "remove" ? "close" : action);
      const named = { title: label, "data-action": action === "remove" ? "take-away" : action };
      const made = button([content], () => act(action, this), named);
      this._buttons.set(action, made);
      tools.append(made);
    }
    const what = element("span", { class: "picker-what" }, this._name, this._facts, this._again);
    this.element = element("li", { class: "files-field-item" }, this._picture, what, tools);
    this._label();
    this.load();
  }

  /** Fetch the record and show it. */
  async load() {
    this._again.hidden = true;
    setText(this._facts, "…");
    try {
      const file = await this._records.get(this.id);
      if (file === null) this._showMissing();
      else this._show(file);
    } catch (error) {
      setText(this._facts, `The name of this file could not be fetched. ${explained(error)}`);
      this._again.hidden = false;
    }
  }

  /** @param {number} at @param {number} total */
  place(at, total) {
    const [up, down] = [this._buttons.get("up"), this._buttons.get("down")];
    if (!up || !down) return;
    const focused = document.activeElement;
    up.hidden = down.hidden = total < 2;
    up.disabled = at === 0;
    down.disabled = at === total - 1;
    // A disabled button loses the focus; the other one of the pair takes it.
    if (focused === up && up.disabled) down.focus();
    if (focused === down && down.disabled) up.focus();
  }

  /** Show or hide the button that uploads a new version. @param {boolean} offered */
  offerVersion(offered) {
    const version = this._buttons.get("version");
    // Of a file that was deleted there is no next version.
    if (version) version.hidden = !offered || this.element.dataset.state === "missing";
  }

  /** @param {ItemAction} [action] The button to focus; the first usable one by default. */
  focus(action) {
    const wanted = action === undefined ? undefined : this._buttons.get(action);
    const usable = [...this._buttons.values()].find((button) => !button.hidden && !button.disabled);
    if (wanted && !wanted.hidden && !wanted.disabled) wanted.focus();
    else usable?.focus();
  }

  /** @param {ShownFile} file */
  _show(file) {
    // In a new tab: the row that is edited here is not saved yet.
    const link = { href: file.url, target: "_blank", rel: "noopener", draggable: "false" };
    const { picture, name, label, size } = drawFile(file, 48, link);
    this._picture.replaceWith(picture);
    this._picture = picture;
    this._name.replaceChildren(...label.childNodes);
    this.name = name;
    setText(this._facts, joined(size, file.content_type ?? ""));
    this._label();
  }

  _showMissing() {
    this.element.dataset.state = "missing";
    this.offerVersion(false);
    this._picture.textContent = "?";
    setText(this._facts, TEXT.missing);
  }

  _label() {
    for (const [action, button] of this._buttons) {
      button.setAttribute("aria-label", `${LABELS[action]} ${this.name}`);
    }
  }
}
