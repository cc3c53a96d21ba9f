/**
 * The viewer as a dialog: a bar with the file's name and the actions, the preview, and the same data that the
 * file's page has. Leaves out which file it is and where its parts come from.
 */

import { button, element, icon, setText } from "../shared/dom.js";
import { Stage } from "./stage.js";

/** By how much a press of a button or a key enlarges. */
const STEP = 1.5;
/** Widest window, in pixels, in which the data is folded away at first: a phone. */
const NARROW = "(max-width: 52rem)";

/** @param {Parameters<typeof icon>[0]} drawn @param {string} label @param {() => void} act @param {string} [name] */
function tool(drawn, label, act, name = "") {
  return button([icon(drawn)], act, { class: `files-viewer-tool ${name}`, "aria-label": label, title: label });
}

export class Panel {
  /** @param {{turn: (by: 1 | -1) => void, closed: () => void}} acts */
  constructor({ turn, closed }) {
    this._title = element("h2", { id: "files-viewer-title", tabindex: "-1", dir: "auto" });
    this._place = element("p", { class: "files-viewer-place" });
    this._status = element("p", { class: "files-hidden", role: "status" });
    this._about = element("section", { class: "files-viewer-about", "aria-label": "Details", tabindex: "0" });
    this._open = element("a", { class: "files-button" }, "Open page");
    this.stage = new Stage(turn, () => this._drawZoom());
    this._less = tool("less", "Zoom out", () => this.stage.zoom(1 / STEP));
    this._more = tool("more", "Zoom in", () => this.stage.zoom(STEP));
    this._details = tool("details", "Details", () => this._showDetails(this._about.hidden === true));
    this._previous = tool("previous", "Previous file", () => turn(-1), "files-viewer-previous");
    this._next = tool("next", "Next file", () => turn(1), "files-viewer-next");
    const close = tool("close", "Close", () => this.close());
    const actions = element("div", { class: "files-viewer-actions" }, this._less, this._more, this._open);
    actions.append(this._details, close);
    const bar = element("div", { class: "files-viewer-bar" }, this._title, this._place, actions);
    this.dialog = element(
      "dialog",
      { class: "files-viewer", "aria-labelledby": "files-viewer-title" },
      ...[bar, this._previous, this.stage.element, this._next, this._about, this._status],
    );
    this.dialog.addEventListener("close", closed);
    this.dialog.addEventListener("keydown", (event) => this._onKey(event, turn));
    // A file that is dropped here would be opened in the place of this page.
    for (const type of ["dragover", "drop"]) this.dialog.addEventListener(type, (event) => event.preventDefault());
    // Inside of main, whose times and links have our look.
    document.querySelector("main")?.append(this.dialog);
    this._showDetails(!window.matchMedia(NARROW).matches);
  }

  get isOpen() {
    return this.dialog.open;
  }

  open() {
    if (this.isOpen) return;
    this.dialog.showModal();
    this._title.focus();
  }

  close() {
    this.dialog.close();
  }

  /** Stop what plays. */
  clear() {
    this.stage.show(element("div"));
    this._about.replaceChildren();
  }

  /**
   * Before the file's page is there: its name and its small picture.
   * @param {string} name @param {string} url @param {string} picture
   */
  begin(name, url, picture) {
    const shown = element("bdi", {}, name);
    this._title.replaceChildren(shown);
    this._title.title = name;
    this._open.setAttribute("href", url);
    this.dialog.setAttribute("aria-busy", "true");
    const waiting = element("div", { class: "files-viewer-waiting" });
    if (picture) waiting.append(element("img", { src: picture, alt: "" }));
    this.stage.show(waiting);
  }

  /** @param {HTMLElement} preview @param {Element[]} about */
  show(preview, about) {
    this.dialog.removeAttribute("aria-busy");
    this.stage.show(preview);
    this._about.replaceChildren(...about);
    this._about.scrollTop = 0;
  }

  /** @param {string} message */
  fail(message) {
    this.show(element("p", { class: "message-error", role: "alert" }, message), []);
  }

  /**
   * Where the file is in the list.
   * @param {string} place @param {boolean} previous Whether there is one before. @param {boolean} next
   */
  locate(place, previous, next) {
    setText(this._place, place);
    setText(this._status, `${this._title.textContent}, ${place}`);
    // Not disabled: the button that somebody presses would lose the focus at the end of the list.
    this._previous.setAttribute("aria-disabled", String(!previous));
    this._next.setAttribute("aria-disabled", String(!next));
  }

  /** @param {boolean} busy Whether the next page of the list is being fetched. */
  wait(busy) {
    this._next.setAttribute("aria-busy", String(busy));
  }

  /** @param {string} text */
  say(text) {
    setText(this._status, text);
    setText(this._place, text);
  }

  /** @param {boolean} shown */
  _showDetails(shown) {
    this._about.hidden = !shown;
    this._details.setAttribute("aria-expanded", String(shown));
  }

  _drawZoom() {
    const { zooms, view } = this.stage;
    this._less.hidden = this._more.hidden = !zooms;
    this._less.setAttribute("aria-disabled", String(view.scale === 1));
  }

  /** @param {KeyboardEvent} event @param {(by: 1 | -1) => void} turn */
  _onKey(event, turn) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    // There the arrows wind, or scroll.
    if (/** @type {Element} */ (event.target).closest("audio, video, pre, .files-scroll")) return;
    /** @type {Record<string, () => void>} */
    const acts = {
      ArrowRight: () => turn(1),
      ArrowLeft: () => turn(-1),
      "+": () => this.stage.zoom(STEP),
      "-": () => this.stage.zoom(1 / STEP),
      0: () => this.stage.zoom(0),
    };
    if (!Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
  }
}
