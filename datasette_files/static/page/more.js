/**
 * "Show more" below a list of files: the next files are put below those that are shown. Without this
 * module the link opens the next page, and with it too once the page has no room for more files.
 */

import { element, setText } from "../shared/dom.js";
import { counted } from "../shared/format.js";
import { grow, hasRoom } from "../shared/listing.js";

const announcer = element("p", { class: "files-hidden", role: "status" });
document.querySelector("main")?.append(announcer);

async function showMore() {
  const added = await grow();
  const first = added[0]?.querySelector("a:not([tabindex])");
  /** @type {HTMLElement | null | undefined} */ (first)?.focus({ preventScroll: true });
  setText(announcer, `${counted(added.length, "file")} more`);
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const link = /** @type {HTMLAnchorElement | null} */ (target?.closest("a[data-files-more]") ?? null);
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (!hasRoom()) return;
  event.preventDefault();
  // As without this module; the page that opens says what is wrong.
  showMore().catch(() => location.assign(link.href));
});
