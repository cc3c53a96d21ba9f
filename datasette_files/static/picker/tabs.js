/**
 * Tabs that show one of several contents (ARIA Authoring Practices, "Tabs", with automatic
 * activation). A single content gets no tab.
 */

import { element } from "../shared/dom.js";

/** Tab lists made so far; part of their ids. */
let tablists = 0;

export class PickerTabs {
  /** @param {{name: string, content: HTMLElement}[]} tabs The first is shown. */
  constructor(tabs) {
    const prefix = `files-picker-tabs-${(tablists += 1)}`;
    this._panels = tabs.map(({ content }, at) => {
      const panel = element("div", { class: "picker-panel", id: `${prefix}-panel-${at}` }, content);
      if (tabs.length > 1) {
        panel.setAttribute("role", "tabpanel");
        panel.setAttribute("aria-labelledby", `${prefix}-${at}`);
      }
      return panel;
    });
    this._buttons = tabs.map(({ name }, at) => {
      const button = element("button", { type: "button", role: "tab", id: `${prefix}-${at}` }, name);
      button.setAttribute("aria-controls", this._panels[at].id);
      button.classList.add("picker-tab");
      button.addEventListener("click", () => this._select(at));
      return button;
    });
    const list = element("div", { class: "picker-tabs", role: "tablist", "aria-label": "Choose or upload" });
    list.append(...this._buttons);
    list.addEventListener("keydown", (event) => this._key(event));
    this.elements = tabs.length > 1 ? [list, ...this._panels] : this._panels;
    this._select(0);
  }

  /** @param {string} name */
  show(name) {
    const at = this._buttons.findIndex((button) => button.textContent === name);
    if (at >= 0) this._select(at);
  }

  /** @param {number} chosen */
  _select(chosen) {
    this._buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", String(at === chosen));
      button.tabIndex = at === chosen ? 0 : -1;
    });
    const lost = this._panels.some((panel, at) => {
      return at !== chosen && panel.contains(document.activeElement);
    });
    this._panels.forEach((panel, at) => {
      panel.hidden = at !== chosen;
    });
    if (lost) this._buttons[chosen].focus();
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const at = this._buttons.findIndex((button) => button === event.target);
    const last = this._buttons.length - 1;
    const aims = /** @type {Record<string, number>} */ ({
      ArrowLeft: at === 0 ? last : at - 1,
      ArrowRight: at === last ? 0 : at + 1,
      Home: 0,
      End: last,
    });
    if (at < 0 || !Object.hasOwn(aims, event.key)) return;
    event.preventDefault();
    this._select(aims[event.key]);
    this._buttons[aims[event.key]].focus();
  }
}
