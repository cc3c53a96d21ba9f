/**
 * The names of files where Datasette writes their ids: in the facets and the description of a table's
 * filters. An id of a file that the reader may not see stays.
 */

import { plain } from "./format.js";

/** @import { FileRecords } from "./file-records.js" */

const ID = /df-[0-9a-hjkmnp-tv-z]{26}/g;
/** Places of Datasette's page of a table. */
const PLACES = ".facet-results li, .table-summary-description";
/** Most ids that are looked up. */
const MOST = 400;

/** @param {FileRecords} records @param {ParentNode} [root] */
export async function nameFiles(records, root = document) {
  /** @type {{text: Text, ids: string[]}[]} */
  const found = [];
  for (const place of root.querySelectorAll(PLACES)) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = /** @type {Text} */ (walker.currentNode);
      const ids = [...text.data.matchAll(ID)].map(([id]) => id);
      if (ids.length > 0) found.push({ text, ids });
    }
  }
  const wanted = [...new Set(found.flatMap(({ ids }) => ids))].slice(0, MOST);
  /** @type {Map<string, string>} */
  const names = new Map();
  await Promise.all(
    wanted.map(async (id) => {
      const record = await records.get(id).catch(() => null);
      if (record !== null) names.set(id, plain(record.filename));
    }),
  );
  for (const { text, ids } of found) {
    if (!ids.some((id) => names.has(id))) continue;
    // Who needs the id finds it where the pointer rests.
    if (text.parentElement) text.parentElement.title = ids.join(", ");
    text.data = text.data.replaceAll(ID, (id) => names.get(id) ?? id);
  }
}
