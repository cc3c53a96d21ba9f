/**
 * Search and filters that show results while people type.
 *
 * A form with `data-files-live` is an ordinary GET form. After each change this module fetches the page
 * that the form leads to and takes its #files-results, so that only the templates draw results. The
 * URL follows, so that a reload, a link and Back lead to the same results. The forms stay, and with
 * them focus and caret.
 */

import { button, element, focusPlace, onTyping } from "../shared/dom.js";
import { explained } from "../shared/messages.js";
import { ApiError, request } from "../shared/request.js";

/** The address of the results that are shown or asked for. */
let shown = location.href;
let asked = new AbortController();

const announcer = element("p", { class: "files-hidden", role: "status", id: "files-announced" });
document.querySelector("main")?.append(announcer);

/** @param {HTMLFormElement} form @returns {string} The address that the form leads to, without empty fields. */
function target(form) {
  // An empty folder is the top one.
  const fields = [...new FormData(form)].filter(([name, value]) => value !== "" || name === "folder");
  const url = new URL(form.action);
  url.search = new URLSearchParams(/** @type {[string, string][]} */ (fields)).toString();
  return url.href;
}

/** @param {string} message @param {() => void} retry @returns {HTMLElement} */
function problem(message, retry) {
  return element(
    "div",
    { id: "files-results", class: "files-results" },
    element("p", { class: "message-error", role: "alert" }, message),
    button("Try again", retry, { class: "files-button" }),
  );
}

/** @param {string} url @param {AbortSignal} signal @returns {Promise<Document>} */
async function fetchPage(url, signal) {
  const { status, text } = await request(url, { headers: { Accept: "text/html" }, signal });
  const page = new DOMParser().parseFromString(text, "text/html");
  // Else it is Datasette's own refusal, a sign-in page, or a proxy's error.
  if (!page.getElementById("files-results")) throw ApiError.of(status, "");
  return page;
}

/** @param {Element} results They take the focus if it was in the results that they replace. */
function replace(results) {
  const before = document.getElementById("files-results");
  const focused = before?.contains(document.activeElement);
  before?.replaceWith(results);
  if (focused) focusPlace(/** @type {HTMLElement} */ (results));
}

/** @param {Element} results @param {string} title */
function show(results, title) {
  replace(results);
  document.title = title;
  // Screen readers announce a failure by itself, as it is an alert.
  announcer.textContent =
    results.querySelector(".files-empty")?.textContent?.trim() ||
    results.querySelector("#files-count")?.textContent?.trim() ||
    "";
  document.dispatchEvent(new CustomEvent("datasette-files-shown"));
}

/** @param {string} url @param {boolean} [again] Also if its results are shown already. */
async function refresh(url, again = false) {
  if (url === shown && !again) return;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  // Else the address is that of the file that the viewer shows (viewer.js).
  if (url !== shown) history.replaceState(history.state, "", url);
  shown = url;
  document.getElementById("files-results")?.setAttribute("aria-busy", "true");
  try {
    const page = await fetchPage(url, signal);
    const results = /** @type {HTMLElement} */ (page.getElementById("files-results"));
    const places = page.getElementById("files-places");
    if (places) document.getElementById("files-places")?.replaceWith(document.importNode(places, true));
    show(document.importNode(results, true), page.title);
  } catch (error) {
    if (signal.aborted) return;
    const message = `The files could not be fetched. ${explained(error)}`;
    replace(problem(message, () => refresh(url, true)));
  }
}

/** @param {HTMLInputElement | HTMLSelectElement} field */
function isChanged(field) {
  if (field instanceof HTMLInputElement) return field.value !== field.defaultValue;
  const chosen = [...field.options].findIndex((option) => option.defaultSelected);
  return field.selectedIndex !== Math.max(chosen, 0);
}

for (const form of document.querySelectorAll("form[data-files-live]")) {
  const live = /** @type {HTMLFormElement} */ (form);
  const drop = onTyping(live, () => refresh(target(live)));
  live.addEventListener("submit", (event) => {
    event.preventDefault();
    drop();
    refresh(target(live));
  });
  // Somebody may have typed or chosen before this module was loaded.
  const fields = /** @type {(HTMLInputElement | HTMLSelectElement)[]} */ ([
    ...live.querySelectorAll("input, select"),
  ]);
  if (fields.some(isChanged)) live.dispatchEvent(new Event("input"));
}
// The list shows what <datasette-file-upload> has uploaded, and what <files-selection> has done.
for (const event of ["datasette-files-finished", "datasette-files-changed"]) {
  document.addEventListener(event, () => refresh(shown, true));
}
