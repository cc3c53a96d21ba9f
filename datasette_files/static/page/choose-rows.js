/**
 * Rows that are chosen by checkboxes, in `<form data-files-choose>`: all at once by the one marked
 * `data-files-all`, with their number told in `[data-files-chosen]`. Without this module they are
 * ticked one by one.
 */

import { setText } from "../shared/dom.js";

for (const form of document.querySelectorAll("form[data-files-choose]")) {
  const all = /** @type {HTMLInputElement} */ (form.querySelector("[data-files-all]"));
  const told = /** @type {HTMLElement} */ (form.querySelector("[data-files-chosen]"));
  const boxes = /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("[name=id]")]);

  const tell = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
    setText(told, chosen ? `${chosen} chosen` : "None chosen");
  };

  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    tell();
  });
  form.addEventListener("change", tell);
  // A browser that comes back to the page ticks what was ticked.
  window.addEventListener("pageshow", tell);
  tell();
}
