/**
 * Search and filters that answer while they are changed.
 *
 * A form with `data-files-live` is an ordinary GET form. On each change this module fetches the page
 * that the form would lead to, and puts that page's #files-results in the place of this one's: what
 * results look like is written once, in the templates. The URL follows, so that a reload, a link
 * and Back lead to what is shown. The forms themselves stay, and with them focus and caret.
 */

import { button, element, onTyping } from "../shared/dom.js";
import { explained } from "../shared/messages.js";
import { ApiError, request } from "../shared/request.js";

/** What is shown now, without this module's part in it. */
let shown = location.href;
let asked = new AbortController();
/** The list that an emptied search leads back to: as it was filtered, sorted and paged. */
let list = new URL(shown).searchParams.has("q") ? undefined : shown;

const announcer = element("p", { class: "files-hidden", role: "status" });
document.querySelector("main")?.append(announcer);

/** @param {HTMLFormElement} form @returns {string} Where the form leads, without empty fields. */
function target(form) {
  const fields = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(/** @type {[string, string][]} */ (fields));
  // An emptied search of one source is that source's page, where it has one.
  const emptied = form.dataset.filesHome !== undefined && !query.has("q");
  const home = emptied ? (list ?? form.dataset.filesHome) : undefined;
  const url = new URL(home ?? form.action, location.href);
  if (home === undefined) url.search = query.toString();
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

/** @param {Element} results Where the focus goes too, if it is in what they replace. */
function replace(results) {
  const before = document.getElementById("files-results");
  const focused = before?.contains(document.activeElement);
  before?.replaceWith(results);
  if (!focused) return;
  results.setAttribute("tabindex", "-1");
  /** @type {HTMLElement} */ (results).focus({ preventScroll: true });
}

/** @param {Element} results @param {string} title */
function show(results, title) {
  replace(results);
  document.title = title;
  // What failed is an alert, which is read out by itself.
  announcer.textContent =
    results.querySelector(".files-empty")?.textContent?.trim() ||
    results.querySelector("#files-count")?.textContent?.trim() ||
    "";
  document.dispatchEvent(new CustomEvent("datasette-files-shown"));
}

/** @param {string} url @param {boolean} [again] Even what is shown already. */
async function refresh(url, again = false) {
  if (url === shown && !again) return;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  shown = url;
  const searching = new URL(url).searchParams.has("q");
  if (!searching) list = url;
  history.replaceState(history.state, "", url);
  // Filters belong to a list: while words are searched for, there is none.
  for (const filters of document.querySelectorAll("form.files-filters")) {
    /** @type {HTMLElement} */ (filters).hidden = searching;
  }
  document.getElementById("files-results")?.setAttribute("aria-busy", "true");
  try {
    const page = await fetchPage(url, signal);
    const results = /** @type {HTMLElement} */ (page.getElementById("files-results"));
    show(document.importNode(results, true), page.title);
  } catch (error) {
    if (signal.aborted) return;
    const message = `The files could not be fetched. ${explained(error)}`;
    replace(problem(message, () => refresh(url, true)));
  }
}

for (const form of document.querySelectorAll("form[data-files-live]")) {
  const live = /** @type {HTMLFormElement} */ (form);
  const drop = onTyping(live, () => refresh(target(live)));
  live.addEventListener("submit", (event) => {
    event.preventDefault();
    drop();
    refresh(target(live));
  });
  // What was typed before this module was loaded.
  const fields = live.querySelectorAll("input");
  if ([...fields].some((field) => field.value !== field.defaultValue)) live.dispatchEvent(new Event("input"));
}
// What <datasette-file-upload> has brought belongs to the list.
document.addEventListener("datasette-files-finished", () => refresh(shown, true));
