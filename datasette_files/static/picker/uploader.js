/**
 * Uploading in a picker or a field: `<datasette-file-upload>`, and a select of where to. Leaves out
 * what becomes of the uploaded files.
 */

import "../datasette-file-upload.js";
import { element, sourceSelect } from "../shared/dom.js";

/** @import { ColumnPlace, FileRecord, FilesApi, SourceRecord } from "../api.js" */
/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */

/**
 * What a place takes.
 * @typedef {object} Limits
 * @property {string} source The one source that is meant; "" for any.
 * @property {string} accept
 * @property {number | null} maxSize In bytes.
 * @property {ColumnPlace | null} column The file column that it is for.
 */

/**
 * @param {FilesApi} api
 * @param {SourceRecord[]} sources At least one; the first is chosen.
 * @param {Limits & {multiple: boolean, compact: boolean, uploaded: (file: FileRecord) => void,
 *   state: () => void}} options `state` hears when an upload begins, fails or is over.
 * @returns {{upload: DatasetteFileUpload, elements: HTMLElement[]}} A select of the sources stands
 *   before the upload where there are several.
 */
export function makeUploader(api, sources, options) {
  const { accept, maxSize, multiple, compact, column, uploaded, state } = options;
  const [{ slug: source, label }] = sources;
  const upload = /** @type {DatasetteFileUpload} */ (
    element(/** @type {any} */ ("datasette-file-upload"), { source, label, accept, multiple, compact })
  );
  if (maxSize !== null) upload.setAttribute("max-size", String(maxSize));
  upload.api = api;
  upload.column = column;
  upload.addEventListener("datasette-files-state", state);
  upload.addEventListener("datasette-file-uploaded", (event) => {
    uploaded(/** @type {CustomEvent<{file: FileRecord}>} */ (event).detail.file);
  });
  if (sources.length < 2) return { upload, elements: [upload] };
  const select = sourceSelect(sources, (chosen, name) => {
    // Files that wait in line keep their source.
    upload.setAttribute("source", chosen);
    upload.setAttribute("aria-label", `Upload to ${name}`);
  });
  return { upload, elements: [element("label", { class: "picker-target" }, "Upload to ", select), upload] };
}
