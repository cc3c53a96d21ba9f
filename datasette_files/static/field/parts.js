/**
 * The entry that file-field.js loads on demand: the field, and the tools that fields share.
 */

import { FilesApi } from "../api.js";
import { FileSources } from "../picker/sources.js";
import { FileRecords } from "../shared/file-records.js";

/** @import { Tools } from "./control.js" */

export { FileFieldControl } from "./control.js";

/** @param {string} base Datasette's `base_url`. @returns {Tools} */
export function makeTools(base) {
  const api = new FilesApi(base);
  return { api, sources: new FileSources(api), records: new FileRecords(api) };
}
