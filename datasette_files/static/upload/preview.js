/**
 * The square before a file's name: a small picture of an image, else the extension. The address of
 * the picture lives only until the browser has it.
 */

import { element } from "../shared/dom.js";

/** What browsers show as a still picture without running anything. */
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
/** Bytes. Larger ones take the browser long to decode for little to be seen. */
const MAX_SHOWN = 20 * 1024 * 1024;
/** Decoded they take four bytes each, however few the file has. */
const MAX_PIXELS = 60_000_000;
/** Characters that the square has room for. */
const MAX_EXTENSION = 4;

export class UploadPreview {
  /** @param {File} file */
  constructor(file) {
    this.element = element("span", { class: "upload-tile", "aria-hidden": "true" });
    this._file = file;
    this._url = "";
    if (SHOWN.has(file.type) && file.size <= MAX_SHOWN && file.size > 0) this._showPicture();
    else this._showExtension();
  }

  /** The row is gone. */
  release() {
    URL.revokeObjectURL(this._url);
  }

  _showPicture() {
    this._url = URL.createObjectURL(this._file);
    const picture = element("img", { alt: "", decoding: "async" });
    picture.addEventListener("load", () => {
      this.release();
      // It is decoded only when it is drawn, so not yet.
      const fits = picture.naturalWidth * picture.naturalHeight <= MAX_PIXELS;
      if (fits) this.element.replaceChildren(picture);
      else this._showExtension();
    });
    picture.addEventListener("error", () => {
      this.release();
      this._showExtension();
    });
    picture.src = this._url;
  }

  _showExtension() {
    const [, extension = ""] = /\.([^.]+)$/.exec(this._file.name) ?? [];
    const fits = Array.from(extension).length <= MAX_EXTENSION;
    this.element.replaceChildren(fits && extension !== "" ? extension.toUpperCase() : "FILE");
  }
}
