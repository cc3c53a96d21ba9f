/**
 * All that file-field.js fetches when it is needed, and what fields share. Leaves out the field.
 */

import { FilesApi } from "../api.js";
import { FileRecords } from "../shared/file-records.js";
import { FileSources } from "../picker/sources.js";

/** @import { Tools } from "./control.js" */

export { FileFieldControl } from "./control.js";

/** @param {string} base Datasette's `base_url`. @returns {Tools} */
export function makeTools(base) {
  const api = new FilesApi(base);
  return { api, sources: new FileSources(api), records: new FileRecords(api) };
}
