/**
 * Links to the file before and the file after in the list that led to this page (shared/trail.js), in
 * `[data-files-neighbours]`. It runs before the first paint, so that nothing moves.
 */

import { tabStorage } from "../shared/tab.js";
import { Trail } from "../shared/trail.js";

/** @import { Place } from "../shared/trail.js" */

const storage = tabStorage();
const trail = Trail.load(storage);
const here = location.pathname;

/** Open the first file of the list's next page. @param {Event} event @param {Place} place @param {string} more */
async function goOn(event, place, more) {
  event.preventDefault();
  try {
    const { fetchList, trailOf } = await import("../shared/listing.js");
    const longer = trail.extended(trailOf(await fetchList(more)));
    longer.save(storage);
    location.assign(longer.step(place, 1)?.path ?? more);
  } catch {
    location.assign(more); // the page of the list says what is wrong
  }
}

/** @param {HTMLElement} nav @param {Place} place */
function draw(nav, place) {
  const link = (/** @type {string} */ name) => /** @type {HTMLAnchorElement} */ (nav.querySelector(`[rel=${name}]`));
  const [before, after] = [trail.step(place, -1), trail.step(place, 1)];
  if (before) link("prev").href = before.path;
  if (after) link("next").href = after.path;
  else if (trail.more !== null) {
    const { more } = trail;
    link("next").href = more;
    link("next").addEventListener("click", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) goOn(event, place, more);
    });
  }
  /** @type {HTMLElement} */ (nav.querySelector(":scope > span")).textContent = trail.described(place.index);
  nav.hidden = false;
}

const nav = /** @type {HTMLElement | null} */ (document.querySelector("[data-files-neighbours]"));
const place = trail.place(here);
if (nav && place) draw(nav, place);

// After a reload the browser takes this page for the list's, which the viewer had given this address: Back changes
// the address alone.
window.addEventListener("popstate", () => {
  if (location.pathname !== here) location.reload();
});
