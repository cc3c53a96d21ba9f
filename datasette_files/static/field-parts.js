/**
 * All that file-field.js fetches when it is needed, and what fields share. Leaves out the field.
 */

import { FilesApi } from "./api.js";
import { FileRecords } from "./file-records.js";
import { FileSources } from "./file-sources.js";

/** @import { Tools } from "./field-control.js" */

export { FileFieldControl } from "./field-control.js";

/** @param {string} base Datasette's `base_url`. @returns {Tools} */
export function makeTools(base) {
  const api = new FilesApi(base);
  return { api, sources: new FileSources(api), records: new FileRecords(api) };
}
