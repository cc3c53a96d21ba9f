/**
 * "Show more" below a list of files: the next files are put below those that are shown. Without this
 * module the link opens the next page, and past MOST files with it too.
 */

import { element, setText } from "../shared/dom.js";
import { counted } from "../shared/format.js";
import { request } from "../shared/request.js";

/** Files of one page, beyond which browsers become slow. */
const MOST = 2000;
const LIST = ".files-table tbody, .files-grid";

const announcer = element("p", { class: "files-hidden", role: "status" });
document.querySelector("main")?.append(announcer);

/** @param {HTMLAnchorElement} link */
async function grow(link) {
  const list = document.querySelector(`#files-results :is(${LIST})`);
  if (link.getAttribute("aria-busy") === "true") return;
  link.setAttribute("aria-busy", "true");
  const { text } = await request(link.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(text, "text/html");
  const more = page.querySelector(`#files-results :is(${LIST})`);
  // A sign-in page, an error, or the other view: the browser shows it.
  if (!list || !more || more.className !== list.className) return location.assign(link.href);
  // The list was replaced meanwhile.
  if (!list.isConnected) return;
  const added = [...more.children].map((one) => document.importNode(one, true));
  list.append(...added);
  const paging = page.querySelector("#files-results .files-paging");
  const old = link.closest(".files-paging");
  if (paging) old?.replaceWith(document.importNode(paging, true));
  else old?.remove();
  // It leads to the first page, which is still shown, unless this page was opened later in the list.
  const began = !new URL(location.href).searchParams.has("_next");
  if (began) document.querySelector("[data-files-first]")?.remove();
  document.dispatchEvent(new CustomEvent("datasette-files-grown"));
  /** @type {HTMLElement | null} */ (added[0]?.querySelector("a"))?.focus({ preventScroll: true });
  setText(announcer, `${counted(added.length, "file")} more`);
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const link = /** @type {HTMLAnchorElement | null} */ (target?.closest("a[data-files-more]") ?? null);
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const shown = document.querySelectorAll(`#files-results :is(${LIST}) > *`).length;
  if (shown >= MOST) return;
  event.preventDefault();
  // As without this module; the page that opens says what is wrong.
  grow(link).catch(() => location.assign(link.href));
});
