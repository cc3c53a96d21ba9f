/**
 * Uploading in a picker: to which source, and `<datasette-file-upload>` for it. Leaves out what
 * becomes of the uploaded files.
 */

import "../datasette-file-upload.js";
import { element } from "../shared/dom.js";

/** @import { ColumnPlace, FilesApi, SourceRecord } from "../api.js" */
/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */

/**
 * @typedef {object} Limits
 * @property {string} accept
 * @property {number | null} maxSize In bytes.
 * @property {boolean} multiple
 * @property {ColumnPlace | null} column The file column that it is for.
 * @property {boolean} [compact]
 */

/**
 * The element for uploads to a source.
 * @param {FilesApi} api @param {SourceRecord} source @param {Limits} limits
 * @returns {DatasetteFileUpload}
 */
export function makeUpload(api, source, { accept, maxSize, multiple, column, compact = false }) {
  const attributes = { source: source.slug, label: source.label, accept, multiple, compact };
  const upload = /** @type {DatasetteFileUpload} */ (
    element(/** @type {any} */ ("datasette-file-upload"), attributes)
  );
  if (maxSize !== null) upload.setAttribute("max-size", String(maxSize));
  upload.api = api;
  upload.column = column;
  return upload;
}

/**
 * A select of the sources that an element uploads to, before it; nothing where there is but one.
 * @param {DatasetteFileUpload} upload @param {SourceRecord[]} sources
 * @returns {HTMLElement[]}
 */
export function uploadTargets(upload, sources) {
  if (sources.length < 2) return [];
  const select = element("select", { class: "picker-sources" });
  for (const { slug, label } of sources) select.append(element("option", { value: slug }, label));
  select.addEventListener("change", () => {
    // What waits keeps its aim.
    upload.setAttribute("source", select.value);
    upload.setAttribute("aria-label", `Upload to ${select.selectedOptions[0].label}`);
  });
  return [element("label", { class: "picker-target" }, "Upload to ", select)];
}
