/**
 * The list of files on a page: its files in order, and its growth by the list's next page. Leaves out
 * when it grows.
 */

import { ApiError, request } from "./request.js";
import { Trail } from "./trail.js";

/** Files of one page, beyond which browsers become slow. */
const MOST = 2000;
const LIST = ":is(.files-table tbody, .files-grid)";
/** The links that name the files. */
const FILES = "#files-results [data-files-view=name]";

/** @param {ParentNode} [root] @returns {HTMLAnchorElement[]} The links of the files, in order. */
export function fileLinks(root = document) {
  return /** @type {HTMLAnchorElement[]} */ ([...root.querySelectorAll(FILES)]);
}

/** @param {ParentNode} [root] @returns {HTMLAnchorElement | null} The link to the list's next page. */
function nextLink(root = document) {
  return root.querySelector("#files-results a[data-files-more]");
}

/** @returns {boolean} Whether the page has room for more files. */
export function hasRoom() {
  return document.querySelectorAll(`#files-results ${LIST} > *`).length < MOST;
}

/** @param {ParentNode} [root] @returns {Trail} The files of the page. */
export function trailOf(root = document) {
  // An address in a parsed page is relative to this one, which is of the same site.
  const paths = fileLinks(root).map((link) => new URL(link.getAttribute("href") ?? "", location.href).pathname);
  const more = nextLink(root)?.getAttribute("href") ?? null;
  return new Trail(paths, more);
}

/** @param {string} url @returns {Promise<Document>} A page of a list. Raises ApiError for any other answer. */
export async function fetchList(url) {
  const { status, text } = await request(url, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(text, "text/html");
  // Else it is a sign-in page, or an error.
  if (!page.querySelector("#files-results")) throw ApiError.of(status, "");
  return page;
}

/**
 * Put the files of the list's next page below those that are shown.
 * @returns {Promise<Element[]>} The new rows or tiles; none if the list ends or was replaced meanwhile, or if the
 *   next page has none, as that of a table's rows may. Raises ApiError.
 */
export async function grow() {
  const list = document.querySelector(`#files-results ${LIST}`);
  const link = nextLink();
  if (!list || !link || link.getAttribute("aria-busy") === "true") return [];
  link.setAttribute("aria-busy", "true");
  try {
    const page = await fetchList(link.href);
    const more = page.querySelector(`#files-results ${LIST}`);
    // The other view: the browser's cookie has changed.
    if (more && more.className !== list.className) throw new ApiError("unexpected", "");
    if (!list.isConnected) return [];
    const added = [...(more?.children ?? [])].map((one) => document.importNode(one, true));
    // A link to the first page, which is still shown unless this page was opened later in the list.
    const later = document.querySelector("[data-files-first]") !== null;
    list.append(...added);
    const paging = page.querySelector("#files-results .files-paging");
    const old = link.closest(".files-paging");
    if (paging) old?.replaceWith(document.importNode(paging, true));
    else old?.remove();
    if (!later) document.querySelector("[data-files-first]")?.remove();
    document.dispatchEvent(new CustomEvent("datasette-files-grown"));
    return added;
  } finally {
    link.removeAttribute("aria-busy");
  }
}
