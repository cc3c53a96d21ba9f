/**
 * Links for people without an account, `<details data-files-links>` (_links.html): makes one without
 * leaving the page, offers to copy its address, and lists and revokes those that there are.
 *
 * The list is the server's own: the page with `?shares=1` is fetched, and its list put in place.
 */

import { copyFrom } from "../shared/clipboard.js";
import { button, element } from "../shared/dom.js";
import { explained } from "../shared/messages.js";
import { request } from "../shared/request.js";
import { submitForm } from "./submit-form.js";

const LIST = "[data-files-links-list]";

/** @param {HTMLElement} place @param {Error} error */
function showProblem(place, error) {
  place.textContent = error.message;
  place.hidden = false;
}

/** @param {HTMLDetailsElement} details */
function enhance(details) {
  const make = /** @type {HTMLFormElement} */ (details.querySelector("form"));
  const made = /** @type {HTMLElement} */ (details.querySelector("[data-files-made]"));
  const problem = /** @type {HTMLElement} */ (details.querySelector(".files-problem"));

  let asked = 0;

  /** Put the server's present list in the place of the shown one. */
  async function refresh() {
    const turn = ++asked;
    try {
      const url = new URL(location.href);
      url.searchParams.set("shares", "1");
      const { text } = await request(url.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(text, "text/html");
      const list = page.querySelector(LIST);
      if (!list) throw new Error("The page has no list of links");
      // An older answer that comes late has an older list.
      if (turn !== asked) return;
      details.querySelector(LIST)?.replaceWith(document.importNode(list, true));
      document.dispatchEvent(new CustomEvent("datasette-files-shown"));
    } catch (error) {
      if (turn !== asked) return;
      const told = element("p", { class: "files-problem" }, explained(error));
      details.querySelector(LIST)?.replaceChildren(told);
    }
  }

  /** @param {string} url */
  function offer(url) {
    const field = element("input", { readonly: true, value: url, "aria-label": "Address of the link" });
    const copy = button("Copy address", () => copyFrom(copy, url), { class: "files-button files-primary" });
    field.addEventListener("focus", () => field.select());
    const note = "Copy it now: it will not be shown again.";
    made.replaceChildren(
      element("p", { class: "files-note" }, note),
      element("p", { class: "files-actions" }, field, copy),
    );
    copy.focus();
  }

  make.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = /** @type {HTMLButtonElement} */ (make.querySelector("button"));
    if (submit.disabled) return;
    submit.disabled = true;
    problem.hidden = true;
    try {
      const answer = await submitForm(make);
      offer((answer.share ?? answer.upload_link).url);
      make.reset();
      await refresh();
    } catch (error) {
      showProblem(problem, /** @type {Error} */ (error));
    } finally {
      submit.disabled = false;
    }
  });
  details.addEventListener("submit", async (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (!form.closest(LIST)) return;
    event.preventDefault();
    problem.hidden = true;
    try {
      await submitForm(form);
      await refresh();
      details.querySelector("summary")?.focus();
    } catch (error) {
      showProblem(problem, /** @type {Error} */ (error));
    }
  });
  details.addEventListener("toggle", () => {
    if (details.open && !details.querySelector(`${LIST} ul`)) refresh();
  });
}

for (const details of document.querySelectorAll("details[data-files-links]")) {
  enhance(/** @type {HTMLDetailsElement} */ (details));
}
