/**
 * Rows with checkboxes in `<form data-files-choose>`: the box `data-files-all` ticks all of them, and
 * `[data-files-chosen]` shows their number. Without this module, people tick them one by one.
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
  // When people go back to the page, browsers restore the ticks.
  window.addEventListener("pageshow", tell);
  tell();
}
