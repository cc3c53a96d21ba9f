/**
 * The place of a preview: a picture is enlarged and moved by wheel, two fingers, double click and drag; a finger
 * turns to the next file. Leaves out which file is shown.
 */

import { element } from "../shared/dom.js";
import { moved, swiped, WHOLE, zoomed } from "./zoom.js";

/** @import { Point, Sizes, View } from "./zoom.js" */

/** By how much a double click enlarges. */
const DOUBLE = 2.5;
/** Pixels of a wheel that enlarge by e; a wheel that counts lines; the most that one event does. */
const WHEEL = 500;
const LINE = 33;
const NOTCH = 100;
/** What takes the pointer for itself. */
const CONTROLS = "a, button, audio, video, iframe";

export class Stage {
  /** @param {(by: 1 | -1) => void} turn @param {() => void} changed The zoom is another. */
  constructor(turn, changed) {
    this.element = element("div", { class: "files-viewer-stage" });
    this._turn = turn;
    this._changed = changed;
    /** @type {HTMLImageElement | null} */
    this._picture = null;
    /** The address of the picture's own bytes, if it is shown smaller. */
    this._whole = "";
    /** @type {View} */
    this.view = WHOLE;
    /** Where each pointer is. @type {Map<number, Point>} */
    this._pointers = new Map();
    /** @type {Point} */
    this._from = { x: 0, y: 0 };
    const listen = (/** @type {string} */ type, /** @type {(event: any) => void} */ act) =>
      this.element.addEventListener(type, act, { passive: false });
    listen("pointerdown", (event) => this._down(event));
    listen("pointermove", (event) => this._move(event));
    listen("pointerup", (event) => this._up(event));
    listen("pointercancel", (event) => this._pointers.delete(event.pointerId));
    listen("wheel", (event) => this._wheel(event));
    listen("dblclick", (event) => this._double(event));
  }

  get zooms() {
    return this._picture !== null;
  }

  /** @param {HTMLElement} content */
  show(content) {
    this._pointers.clear();
    this.view = WHOLE;
    this._whole = "";
    this._picture = content.querySelector(":is(.files-preview-image, .files-preview-picture) img");
    if (this._picture) this._place(this._picture);
    this.element.classList.toggle("files-viewer-zooms", this.zooms);
    this.element.replaceChildren(content);
    this._draw();
  }

  /** A picture stands without its link, as large as the window, but not larger than it is. @param {HTMLImageElement} picture */
  _place(picture) {
    const link = picture.closest("a");
    if (link?.pathname.includes("/inline/") && picture.hasAttribute("srcset")) this._whole = link.href;
    link?.replaceWith(picture);
    picture.draggable = false;
    if (picture.sizes) picture.sizes = "100vw";
    const [width, height] = [picture.getAttribute("width"), picture.getAttribute("height")];
    if (width && height) {
      picture.style.maxWidth = `min(100%, ${width}px)`;
      picture.style.maxHeight = `min(100%, ${height}px)`;
    }
  }

  /** @param {number} factor @param {Point} [point] */
  zoom(factor, point = { x: 0, y: 0 }) {
    if (!this._picture) return;
    this.view = zoomed(this.view, factor, point, this._sizes());
    if (this.view.scale > 1) this._sharpen(this._picture);
    this._draw();
  }

  /** Replace a smaller picture by the file itself once that is there. @param {HTMLImageElement} picture */
  _sharpen(picture) {
    if (!this._whole) return;
    const whole = new Image();
    whole.src = this._whole;
    this._whole = "";
    // A file that the browser cannot show, such as one too large for it, stays as it is shown.
    const show = () => {
      picture.removeAttribute("srcset");
      picture.src = whole.src;
    };
    whole.decode().then(show, () => {});
  }

  /** @returns {Sizes} */
  _sizes() {
    const { clientWidth, clientHeight } = this.element;
    const { offsetWidth, offsetHeight } = /** @type {HTMLImageElement} */ (this._picture);
    return { picture: [offsetWidth, offsetHeight], frame: [clientWidth, clientHeight] };
  }

  _draw() {
    const { scale, x, y } = this.view;
    if (this._picture) this._picture.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.element.classList.toggle("files-viewer-enlarged", scale > 1);
    this._changed();
  }

  /** @param {MouseEvent} event @returns {Point} From the middle. */
  _point({ clientX, clientY }) {
    const box = this.element.getBoundingClientRect();
    return { x: clientX - box.left - box.width / 2, y: clientY - box.top - box.height / 2 };
  }

  /** @param {PointerEvent} event */
  _down(event) {
    const target = /** @type {Element} */ (event.target);
    if (event.button || target.closest(CONTROLS)) return;
    const point = this._point(event);
    if (this._pointers.size === 0) this._from = point;
    this._pointers.set(event.pointerId, point);
    if (this.zooms) this.element.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  _move(event) {
    const before = this._pointers.get(event.pointerId);
    if (!before) return;
    const now = this._point(event);
    const other = [...this._pointers].find(([id]) => id !== event.pointerId)?.[1];
    this._pointers.set(event.pointerId, now);
    if (!this.zooms) return;
    if (other) {
      const wide = (/** @type {Point} */ point) => Math.hypot(point.x - other.x, point.y - other.y);
      this.zoom(wide(now) / Math.max(1, wide(before)), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else if (this.view.scale > 1) {
      this.view = moved(this.view, { x: now.x - before.x, y: now.y - before.y }, this._sizes());
      this._draw();
    }
  }

  /** @param {PointerEvent} event */
  _up(event) {
    const alone = this._pointers.size === 1;
    if (!this._pointers.delete(event.pointerId) || !alone) {
      // The finger that is left of two begins no swipe.
      this._from = { x: NaN, y: NaN };
      return;
    }
    const now = this._point(event);
    const by = swiped({ x: now.x - this._from.x, y: now.y - this._from.y });
    if (by && event.pointerType !== "mouse" && this.view.scale === 1) this._turn(by);
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    if (!this.zooms) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? LINE : 1);
    this.zoom(Math.exp(-Math.max(-NOTCH, Math.min(NOTCH, pixels)) / WHEEL), this._point(event));
  }

  /** @param {MouseEvent} event */
  _double(event) {
    if (!this.zooms || /** @type {Element} */ (event.target).closest(CONTROLS)) return;
    this.zoom(this.view.scale > 1 ? 0 : DOUBLE, this._point(event));
  }
}
