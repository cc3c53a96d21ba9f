/**
 * Loads "Used in" once the page of a file is shown: asks uses.json, lists the rows that refer to the
 * file, and completes the question before its deletion.
 *
 * Without this module, or when the request fails, a link leads to the page with `?uses=1`. There the
 * server writes the same words (_uses.html, _delete.html).
 */

import { element } from "../shared/dom.js";
import { plain } from "../shared/format.js";
import { ApiError, requestJson } from "../shared/request.js";

/**
 * One column's rows, as docs/api.md describes them.
 * @typedef {{database: string, table: string, column: string, rows: {path: string, label: string |
 *   null, url: string}[], more: boolean, complete: boolean, rows_url: string,
 *   suggested_index: string | null}} Use
 */

/** @param {string} text */
const bdi = (text) => element("bdi", {}, plain(text));

/** @param {...(Node | string)} content */
const note = (...content) => element("p", { class: "files-note" }, ...content);

/** @param {Use} use */
const link = (use) => element("a", { href: use.rows_url }, plain(`${use.table}.${use.column}`));

/** @param {Use[]} uses @param {boolean} complete @returns {string} Such as "3 rows refer"; "" for none. */
function counted(uses, complete) {
  const number = uses.reduce((sum, use) => sum + use.rows.length, 0);
  if (number === 0) return "";
  const least = complete && !uses.some((use) => use.more) ? "" : "at least ";
  return `${least}${number} row${number === 1 ? " refers" : "s refer"}`;
}

/** @param {Use} use @returns {Node[]} The column's heading, its rows, and notes. */
function column(use) {
  const place = element("span", { class: "files-note" }, `in ${plain(use.database)}`);
  const shown = [element("h3", {}, link(use), " ", place)];
  const rows = use.rows.map(({ path, label, url }) =>
    element("li", {}, element("a", { href: url }, label ? bdi(label) : `row ${path}`)),
  );
  if (rows.length > 0) shown.push(element("ul", {}, ...rows));
  if (use.more) shown.push(note(element("a", { href: use.rows_url }, "All rows with this file")));
  if (!use.complete) {
    const alone = element("a", { href: use.rows_url }, "Search it by itself");
    shown.push(note("This column could not be searched in time. ", alone));
  }
  if (use.suggested_index) {
    const sql = element("code", {}, bdi(use.suggested_index));
    shown.push(note("Without an index every row is read for this. To make it quick: ", sql));
  }
  return shown;
}

/** @param {Use[]} uses @param {boolean} complete @returns {(Node | string)[]} What a deletion asks. */
function warning(uses, complete) {
  const count = counted(uses, complete);
  if (count === "") {
    return [
      complete
        ? "No row that you may view refers to it."
        : "It may be in use: not every table could be searched in time.",
    ];
  }
  const links = uses.filter((use) => use.rows.length > 0).map(link);
  const listed = links.flatMap((one, at) => (at === 0 ? [one] : [", ", one]));
  return [`It is in use: ${count} to it, in `, ...listed, "."];
}

/** @param {HTMLElement} section */
async function load(section) {
  const status = /** @type {HTMLElement} */ (document.getElementById("files-uses-status"));
  // None on the page of somebody who may not delete the file.
  const question = document.querySelector("[data-files-uses-question]");
  const heading = element("h2", { id: "files-uses-title" }, "Used in");
  try {
    const { uses, complete } = await requestJson(section.dataset.filesUses ?? "");
    section.replaceChildren(heading, ...uses.flatMap(column));
    if (!complete) section.append(note("Not every table was searched: there may be more rows."));
    section.hidden = complete && uses.length === 0;
    question?.replaceChildren(...warning(uses, complete));
    question?.classList.toggle("message-warning", uses.length > 0 || !complete);
    const count = counted(uses, complete);
    if (count !== "") status.textContent = `Used in: ${count} to this file`;
  } catch (error) {
    ApiError.from(error); // logs a fault of this module
    const again = element("a", { href: "?uses=1" }, "Search again");
    section.replaceChildren(heading, note("The search for rows failed. ", again));
    section.hidden = false;
    status.textContent = "Used in: the search for rows failed";
  }
}

const section = /** @type {HTMLElement | null} */ (document.querySelector("[data-files-uses]"));
if (section) load(section);
