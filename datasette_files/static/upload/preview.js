/**
 * The square before the name of a file that is being uploaded: a small picture of an image, else the
 * extension. The picture's object URL is released once the browser has loaded it.
 */

import { element } from "../shared/dom.js";
import { plain } from "../shared/format.js";

/** Types that every browser shows as a picture without running scripts. */
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]);
/** Bytes. Decoding larger images takes too long for a small picture. */
const MAX_SHOWN = 20 * 1024 * 1024;
/** A decoded pixel takes four bytes, however small the file is. */
const MAX_PIXELS = 60_000_000;
/** Characters that fit into the square. */
const MAX_EXTENSION = 4;

export class UploadPreview {
  /** @param {Pick<File, "name" | "size" | "type">} file One without a type may have no bytes. */
  constructor(file) {
    this.element = element("span", { class: "upload-tile", "aria-hidden": "true" });
    this._file = file;
    this._url = "";
    if (SHOWN.has(file.type) && file.size <= MAX_SHOWN && file.size > 0) this._showPicture();
    else this._showExtension();
  }

  /** Free the object URL. */
  release() {
    URL.revokeObjectURL(this._url);
  }

  _showPicture() {
    this._url = URL.createObjectURL(/** @type {File} */ (this._file));
    const picture = element("img", { alt: "", decoding: "async" });
    picture.addEventListener("load", () => {
      this.release();
      // The browser decodes a picture only when it draws it, so a large one is dropped in time.
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
    this.element.replaceChildren(fits && extension !== "" ? plain(extension).toUpperCase() : "FILE");
  }
}
