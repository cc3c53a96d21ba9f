/** A stored file as people see it: its picture, its name, its size. Leaves out where they stand. */

import { element } from "./dom.js";
import { formatBytes, plain } from "./format.js";

/** @import { ShownFile } from "./file-records.js" */

/**
 * @param {Pick<ShownFile, "filename" | "size" | "thumbnail_url">} file
 * @param {number} side Of the picture, in CSS pixels.
 * @param {Record<string, string | boolean> | null} [link] Attributes of a link around the name.
 * @returns {{picture: HTMLImageElement, name: string, label: HTMLElement, size: string}} `label` is
 *   the name as an element; `size` is "" where nobody knows it.
 */
export function drawFile({ filename, size, thumbnail_url }, side, link = null) {
  const name = plain(filename);
  const picture = element("img", {
    src: thumbnail_url,
    alt: "",
    width: String(side),
    height: String(side),
    loading: "lazy",
    decoding: "async",
    draggable: "false",
    error: () => picture.removeAttribute("src"),
  });
  const label = element("bdi", {}, link === null ? name : element("a", link, name));
  return { picture, name, label, size: size === null ? "" : formatBytes(size) };
}
