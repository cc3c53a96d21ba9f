/**
 * The sources that this person may choose from and upload to, fetched once for all pickers and fields
 * that share an object. Leaves out anything of a page.
 */

/** @import { FilesApi, SourceRecord } from "../api.js" */

export class FileSources {
  /** @param {FilesApi} api */
  constructor(api) {
    this._api = api;
    /** @type {Promise<SourceRecord[]> | null} */
    this._asked = null;
  }

  /** Raises ApiError; the next call then asks again. @returns {Promise<SourceRecord[]>} */
  load() {
    this._asked ??= this._api.sources().then(
      ({ sources }) => sources,
      (error) => {
        this._asked = null;
        throw error;
      },
    );
    return this._asked;
  }
}

/**
 * @param {SourceRecord[]} sources
 * @param {string} only Slug of the only source to use; "" for any.
 * @returns {{browsable: SourceRecord[], uploadable: SourceRecord[]}}
 */
export function usable(sources, only) {
  const meant = sources.filter(({ slug }) => only === "" || slug === only);
  return {
    browsable: meant.filter((source) => source.can_browse),
    uploadable: meant.filter((source) => source.can_upload && source.capabilities.can_upload),
  };
}
