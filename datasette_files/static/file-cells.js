/**
 * `<datasette-file>` around a link to a file's page shows the file by picture, name and size:
 *
 *     <datasette-file><a href="/-/files/df-…">df-…</a></datasette-file>
 *
 * Without this module the link stays as it is. The files of a page share requests of at most 200 ids. A
 * file that the reader may not see looks like one that does not exist: the answer has neither. The
 * styles are in file-cells.css; docs/file-columns.md has the server's part.
 */

import { FilesApi } from "./api.js";
import { listenToDrops } from "./page/cell-drops.js";
import { define, element } from "./shared/dom.js";
import { drawFile } from "./shared/drawing.js";
import { nameFiles } from "./shared/file-names.js";
import { FileRecords } from "./shared/file-records.js";

/** @import { ShownFile } from "./shared/file-records.js" */

/** An address on this site: no other site is ever asked. Browsers read `/\` as `//`. */
const LINK = /^(\/(?:[^/\\\s].*\/)?)-\/files\/(df-[0-9a-z]+)$/;

/** By Datasette's `base_url`. @type {Map<string, FileRecords>} */
const known = new Map();

/** @param {string} base */
function recordsAt(base) {
  const records = known.get(base) ?? new FileRecords(new FilesApi(base));
  known.set(base, records);
  return records;
}

export class DatasetteFile extends HTMLElement {
  async connectedCallback() {
    const link = this.querySelector("a");
    const [, base, id] = link?.getAttribute("href")?.match(LINK) ?? [];
    if (!link || id === undefined || this.dataset.state !== undefined) return;
    this.dataset.state = "asked";
    try {
      const record = await recordsAt(base).get(id);
      this.dataset.state = record === null ? "absent" : "shown";
      this.replaceChildren(...(record === null ? absent(id) : shown(record)));
    } catch {
      // The link still leads to the file; only its name is missing.
      this.dataset.state = "failed";
      link.title = "The file's name could not be loaded; reload the page to try again";
    }
  }
}

/** @param {ShownFile} record @returns {Node[]} */
function shown(record) {
  const { picture, name, label, size } = drawFile(record, 40);
  const written = element("span", { class: "file-cell-name" }, label);
  const link = element("a", { href: record.url, title: name }, picture, written);
  return size === "" ? [link] : [link, element("span", { class: "file-cell-size" }, size)];
}

/** @param {string} id @returns {Node[]} */
function absent(id) {
  const why = `The file ${id} was deleted, or you may not see it`;
  return [
    element(
      "span",
      { class: "file-cell-absent", title: why },
      element("span", { class: "file-cell-name" }, "Not available"),
      element("span", { class: "file-cell-hidden" }, `. ${why}.`),
    ),
  ];
}

/** Datasette's `base_url`, by this module's own address; none if it is loaded from elsewhere. */
const [, base] = new URL(import.meta.url).pathname.match(/^(\/.*)-\/static-plugins\//) ?? [];

define("datasette-file", DatasetteFile);
if (base !== undefined) {
  nameFiles(recordsAt(base));
  listenToDrops();
}
