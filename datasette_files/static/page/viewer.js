/**
 * The viewer over a list: a click on a file of the list shows it over the page, with the preview and the data of
 * its own page. Without this module, and with Ctrl or Cmd, the link opens that page.
 *
 * The address follows, so that Back closes the viewer and a reload opens the file's page. Which file comes next
 * is in shared/trail.js; past the last one the list grows by its next page.
 */

import { fileLinks, grow, hasRoom, trailOf } from "../shared/listing.js";
import { explained } from "../shared/messages.js";
import { ApiError, request } from "../shared/request.js";
import { tabStorage } from "../shared/tab.js";
import { Panel } from "../viewer/panel.js";

/** @import { Place } from "../shared/trail.js" */

/** Marks the entries of the browser's history that are the viewer's. */
const ENTRY = { filesViewer: true };
/** The parts of a file's page that stand beside the preview. */
const ABOUT = ".files-about > :is(.message-warning, .files-facts), .files-actions > .files-primary";

/** @type {Panel | null} */
let panel = null;
/** The file that is shown. @type {Place} */
let here = { path: "", index: -1 };
let title = document.title;
let asked = new AbortController();

/** Parts of a file's page. @param {string} url @param {AbortSignal} signal */
async function fetchParts(url, signal) {
  const { status, text } = await request(url, { headers: { Accept: "text/html" }, signal });
  const page = new DOMParser().parseFromString(text, "text/html");
  const preview = page.querySelector(".files-preview");
  // Else it is an error, or a sign-in page.
  if (!preview) throw ApiError.of(status, "");
  const about = [...page.querySelectorAll(ABOUT)];
  for (const part of about) {
    for (const control of part.querySelectorAll("[data-files-edit]")) control.remove();
  }
  const whole = (/** @type {Element} */ part) => document.importNode(part, true);
  return { preview: /** @type {HTMLElement} */ (whole(preview)), about: about.map(whole) };
}

/** @param {Place} place @param {boolean} [follows] Whether the address is to follow. */
async function show(place, follows = true) {
  const link = fileLinks()[place.index];
  const shown = /** @type {Panel} */ (panel);
  here = place;
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  const name = link.textContent?.trim() ?? "";
  const picture = link.closest("tr, li")?.querySelector("img")?.getAttribute("src") ?? "";
  if (follows) {
    if (shown.isOpen) history.replaceState(ENTRY, "", link.href);
    else history.pushState(ENTRY, "", link.href);
  }
  if (!shown.isOpen) title = document.title;
  document.title = name;
  shown.begin(name, link.href, picture);
  shown.open();
  tellPlace();
  try {
    const { preview, about } = await fetchParts(link.href, signal);
    shown.show(preview, about);
    document.dispatchEvent(new CustomEvent("datasette-files-shown"));
  } catch (error) {
    if (!signal.aborted) shown.fail(`The file could not be fetched. ${explained(ApiError.from(error))}`);
  }
}

/** Tell where the file is in the list, here and to the file's own page. */
function tellPlace() {
  const trail = trailOf();
  trail.save(tabStorage());
  const more = trail.more !== null && hasRoom();
  panel?.locate(trail.described(here.index), here.index > 0, here.index < trail.paths.length - 1 || more);
}

/** @param {1 | -1} by */
async function turn(by) {
  const shown = /** @type {Panel} */ (panel);
  let next = trailOf().step(here, by);
  if (next === null && by > 0 && hasRoom()) {
    const before = here;
    shown.wait(true);
    try {
      if ((await grow()).length === 0) return shown.say("The next page has no files. Next goes on.");
    } catch (error) {
      return shown.say(`The next files could not be fetched. ${explained(ApiError.from(error))}`);
    } finally {
      shown.wait(false);
    }
    if (!shown.isOpen || here !== before) return;
    next = trailOf().step(here, by);
  }
  if (next !== null) show(next);
}

function closed() {
  asked.abort();
  panel?.clear();
  document.title = title;
  // The file that was shown last, which may not be the one that was opened.
  const link = fileLinks()[trailOf().place(here.path, here.index)?.index ?? -1];
  link?.focus();
  if (!history.state?.filesViewer) return;
  // With the address, the browser takes back how far the page was scrolled.
  const scroll = () => requestAnimationFrame(() => link?.scrollIntoView({ block: "nearest" }));
  window.addEventListener("popstate", scroll, { once: true });
  history.back();
}

/** @param {Place} place @param {boolean} [follows] */
function open(place, follows) {
  panel ??= new Panel({ turn, closed });
  show(place, follows);
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target.closest("[data-files-view]") : null;
  if (!target) return;
  trailOf().save(tabStorage());
  // A list whose files are being chosen takes some clicks for itself.
  if (event.defaultPrevented || event.button) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const name = target.closest("tr, li")?.querySelector("[data-files-view=name]");
  const links = fileLinks();
  const index = links.findIndex((link) => link === name);
  if (index < 0) return;
  event.preventDefault();
  open({ path: links[index].pathname, index });
});

window.addEventListener("popstate", ({ state }) => {
  if (!state?.filesViewer) return panel?.isOpen ? panel.close() : undefined;
  const place = trailOf().place(location.pathname);
  // Forward, to a file that is no longer in the list: its page.
  if (place === null) location.reload();
  else open(place, false);
});
