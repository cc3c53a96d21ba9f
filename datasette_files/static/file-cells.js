/**
 * `<datasette-file>` around a link to a file's page shows the file by picture, name and size:
 *
 *     <datasette-file><a href="/-/files/df-…">df-…</a></datasette-file>
 *
 * Without this module the link stays what it is. The files of a page are asked for together, at
 * most 200 in a request; one that the reader may not see is shown as one that is not there, as the
 * answer has neither. Looks are in file-cells.css, the server's part in docs/file-columns.md.
 */

import { FilesApi } from "./api.js";
import { element } from "./dom.js";
import { formatBytes } from "./format.js";
import { plain } from "./names.js";

/** What batch.json takes. */
const MAX_IDS = 200;
/** Of this site: nothing is asked of another one, whatever a page links. */
const LINK = /^(\/(?:[^/].*\/)?)-\/files\/(df-[0-9a-z]+)$/;

/**
 * @typedef {object} CellRecord An entry of batch.json, as far as a cell shows it.
 * @property {string} filename
 * @property {number | null} size
 * @property {string} thumbnail_url
 * @property {string} info_url
 */

/** Gathers the ids that one turn of the page's work asks for, and asks for them together. */
class Records {
  /** @type {Map<string, Map<string, Array<(record: CellRecord | null | Error) => void>>>} */
  #wanted = new Map();

  /**
   * @param {string} base Datasette's `base_url`.
   * @param {string} id
   * @returns {Promise<CellRecord | null>} Null for one that is absent or not open to the reader.
   */
  get(base, id) {
    if (this.#wanted.size === 0) queueMicrotask(() => this.#ask());
    const ids = this.#wanted.get(base) ?? new Map();
    this.#wanted.set(base, ids);
    return new Promise((resolve, reject) => {
      const settle = (/** @type {CellRecord | null | Error} */ found) =>
        found instanceof Error ? reject(found) : resolve(found);
      ids.set(id, [...(ids.get(id) ?? []), settle]);
    });
  }

  #ask() {
    for (const [base, waiting] of this.#wanted) {
      const ids = [...waiting.keys()];
      for (let start = 0; start < ids.length; start += MAX_IDS) {
        this.#askFor(new FilesApi(base), ids.slice(start, start + MAX_IDS), waiting);
      }
    }
    this.#wanted = new Map();
  }

  /**
   * @param {FilesApi} api @param {string[]} ids
   * @param {Map<string, Array<(record: CellRecord | null | Error) => void>>} waiting
   */
  async #askFor(api, ids, waiting) {
    /** @type {(id: string) => CellRecord | null | Error} */
    let found;
    try {
      const { files } = await api.batch(ids);
      found = (id) => files[id] ?? null;
    } catch (error) {
      found = () => /** @type {Error} */ (error);
    }
    for (const id of ids) for (const settle of waiting.get(id) ?? []) settle(found(id));
  }
}

const records = new Records();

export class DatasetteFile extends HTMLElement {
  async connectedCallback() {
    const link = this.querySelector("a");
    const [, base, id] = link?.getAttribute("href")?.match(LINK) ?? [];
    if (!link || id === undefined || this.dataset.state !== undefined) return;
    this.dataset.state = "asked";
    try {
      const record = await records.get(base, id);
      this.dataset.state = record === null ? "absent" : "shown";
      this.replaceChildren(...(record === null ? absent(id) : shown(record)));
    } catch {
      // The link still leads to the file; what is missing is its name.
      this.dataset.state = "failed";
      link.title = "The file's name could not be loaded; reload the page to try again";
    }
  }
}

/** @param {CellRecord} record @returns {Node[]} */
function shown(record) {
  const name = plain(record.filename);
  const picture = element("img", {
    src: record.thumbnail_url,
    alt: "",
    width: "40",
    height: "40",
    loading: "lazy",
    decoding: "async",
    error: () => picture.removeAttribute("src"),
  });
  const written = element("span", { class: "file-cell-name" }, element("bdi", {}, name));
  const link = element("a", { href: record.info_url, title: name }, picture, written);
  if (record.size === null) return [link];
  return [link, element("span", { class: "file-cell-size" }, formatBytes(record.size))];
}

/** @param {string} id @returns {Node[]} */
function absent(id) {
  const why = `The file ${id} was deleted, or is not open to you`;
  return [
    element(
      "span",
      { class: "file-cell-absent", title: why },
      element("span", { class: "file-cell-name" }, "Not available"),
      element("span", { class: "file-cell-hidden" }, `. ${why}.`),
    ),
  ];
}

if (!customElements.get("datasette-file")) customElements.define("datasette-file", DatasetteFile);
