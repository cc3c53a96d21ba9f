/**
 * Uploading in a picker or a field: `<datasette-file-upload>`, and a select of its source. Leaves out
 * what happens to the uploaded files.
 */

import "../datasette-file-upload.js";
import { element, sourceSelect } from "../shared/dom.js";

/** @import { ColumnPlace, FileRecord, FilesApi, SourceRecord } from "../api.js" */
/** @import { DatasetteFileUpload } from "../datasette-file-upload.js" */

/**
 * The rules of the place that the files are for.
 * @typedef {object} Limits
 * @property {string} source Slug of the only source to use; "" for any.
 * @property {string} accept
 * @property {number | null} maxSize In bytes.
 * @property {ColumnPlace | null} column The file column that the place is.
 */

/**
 * @param {FilesApi} api
 * @param {SourceRecord[]} sources At least one; the first is chosen.
 * @param {Limits & {multiple: boolean, compact: boolean, state: () => void,
 *   uploaded: (file: FileRecord, number: number, replaces: string | null) => void}} options `uploaded` gets the
 *   place of the file among those that were added, and the id of the file whose next version it is. `state`
 *   is called when an upload starts, fails or ends.
 * @returns {{upload: DatasetteFileUpload, elements: HTMLElement[]}} With several sources, a
 *   select of them stands before the upload.
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
    const { file, number, replaces } =
      /** @type {CustomEvent<{file: FileRecord, number: number, replaces: string | null}>} */ (event).detail;
    uploaded(file, number, replaces);
  });
  if (sources.length < 2) return { upload, elements: [upload] };
  const select = sourceSelect(sources, (chosen, name) => {
    // Files that wait in line keep their source.
    upload.setAttribute("source", chosen);
    upload.setAttribute("aria-label", `Upload to ${name}`);
  });
  return { upload, elements: [element("label", { class: "picker-target" }, "Upload to ", select), upload] };
}
