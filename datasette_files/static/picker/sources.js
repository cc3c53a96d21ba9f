/**
 * The sources that this person may choose from and upload to. Asked for once for all pickers and
 * fields that share one. Leaves out anything of a page.
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
 * @param {string} only The one source that is meant; "" for any.
 * @returns {{browsable: SourceRecord[], uploadable: SourceRecord[]}}
 */
export function usable(sources, only) {
  const meant = sources.filter(({ slug }) => only === "" || slug === only);
  return {
    browsable: meant.filter((source) => source.can_browse),
    uploadable: meant.filter((source) => source.can_upload && source.capabilities.can_upload),
  };
}
