/**
 * Name, folder and tags edited where a file's page shows them: `<button data-files-edit="id">` names the field of
 * the page's own form, which stays for browsers without scripts. Enter saves, Escape undoes; an error stands at
 * its field. After a change the server draws the page's facts again, so that only the templates draw them.
 */

import { button, element } from "../shared/dom.js";
import { request } from "../shared/request.js";
import { submitForm } from "./submit-form.js";

/** The parts of the page that tell what can be edited. */
const PARTS = [".files-heading", ".files-facts", ".files-copies", ".files-edit-all"];

/** @param {string} text To screen readers. */
function say(text) {
  const status = document.getElementById("files-status");
  if (status) status.textContent = text;
}

/** @param {string} id Of the field that was edited: its button gets the focus. */
async function redraw(id) {
  const { ok, text } = await request(location.href, { headers: { Accept: "text/html" } });
  const page = new DOMParser().parseFromString(text, "text/html");
  // A name, a folder or tags that take the file out of this person's sight.
  if (!ok) return location.reload();
  for (const part of PARTS) {
    const drawn = page.querySelector(part);
    if (drawn) document.querySelector(part)?.replaceWith(document.importNode(drawn, true));
  }
  document.title = page.title;
  document.dispatchEvent(new CustomEvent("datasette-files-shown"));
  /** @type {HTMLElement | null} */ (document.querySelector(`[data-files-edit="${id}"]`))?.focus();
}

/** @param {HTMLButtonElement} opener */
function edit(opener) {
  const id = opener.dataset.filesEdit ?? "";
  const field = /** @type {HTMLInputElement} */ (document.getElementById(id));
  const place = /** @type {HTMLElement} */ (opener.parentElement);
  const shown = /** @type {HTMLElement[]} */ ([...place.children]);
  const label = field.labels?.[0]?.textContent ?? "";
  const box = /** @type {HTMLInputElement} */ (field.cloneNode());
  box.id = `${id}-here`;
  box.setAttribute("aria-describedby", `${id}-problem`);
  const problem = element("p", { class: "files-problem", role: "alert", id: `${id}-problem` });
  const save = element("button", { class: "files-button" }, "Save");
  const named = element("label", { class: "files-hidden", for: box.id }, label);
  const action = field.form?.getAttribute("action") ?? "";
  const form = element("form", { class: "files-edit-here", method: "post", action }, named, box, save);

  /** The heading stays for screen readers. @param {boolean} hidden */
  const hide = (hidden) => {
    for (const one of shown) {
      if (one.matches("h1")) one.classList.toggle("files-hidden", hidden);
      else one.hidden = hidden;
    }
  };
  const close = () => {
    form.remove();
    hide(false);
    opener.focus();
  };
  form.append(button("Cancel", close, { class: "files-button" }), problem);
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    close();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (save.disabled) return;
    if (box.value === field.defaultValue) return close();
    save.disabled = true;
    problem.textContent = "";
    box.removeAttribute("aria-invalid");
    try {
      await submitForm(form);
    } catch (error) {
      save.disabled = false;
      problem.textContent = /** @type {Error} */ (error).message;
      box.setAttribute("aria-invalid", "true");
      return box.focus();
    }
    say("Saved");
    await redraw(id).catch(() => location.reload());
  });
  hide(true);
  place.append(form);
  box.focus();
  selectStem(box);
}

/** Select a text, of a file's name what is before its extension. @param {HTMLInputElement} box */
function selectStem(box) {
  const dot = box.name === "filename" ? box.value.lastIndexOf(".") : -1;
  box.setSelectionRange(0, dot > 0 ? dot : box.value.length);
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target.closest("[data-files-edit]") : null;
  if (target instanceof HTMLButtonElement) edit(target);
});
