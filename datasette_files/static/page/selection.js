/**
 * `<files-selection>`: the files of a list that are chosen, and what is done with them. Around a form with a
 * box at each file, which works without this module (_selection.html).
 *
 * Click, shift and click, Ctrl+A, space, shift and arrows, a long press; all that match; actions without
 * leaving the page. Which files are chosen is in selection/chosen.js.
 */

import { define, element, setText } from "../shared/dom.js";
import { counted, formatCount } from "../shared/format.js";
import { explained } from "../shared/messages.js";
import { ApiError, requestJson } from "../shared/request.js";
import { tabStorage } from "../shared/tab.js";
import { ask, fetchQuestion } from "../selection/asking.js";
import { Chosen } from "../selection/chosen.js";
import { OutcomeBar } from "../selection/outcome.js";

/** Milliseconds of a long press; pixels that a finger may move meanwhile. */
const PRESS = 500;
const MOVES = 10;
const TYPING = "input:not([type=checkbox]), textarea, select, [contenteditable]";

const outcome = new OutcomeBar();
/** Tells screen readers what is chosen. It stays while lists are replaced. */
const announcer = element("div", { class: "files-hidden", role: "status" });
document.querySelector("main")?.append(announcer);

/** @param {Element} box @returns {HTMLElement} The row or tile. */
const placeOf = (box) => /** @type {HTMLElement} */ (box.closest("tr, li"));

/** @param {HTMLInputElement} box */
const nameOf = (box) => (box.getAttribute("aria-label") ?? "").replace(/^Choose /, "");

class FilesSelection extends HTMLElement {
  connectedCallback() {
    this.form = /** @type {HTMLFormElement} */ (this.querySelector("form"));
    // The property is hidden by the fields of that name.
    this.url = this.form.getAttribute("action") ?? "";
    this.chosen = new Chosen(this.dataset.key ?? "", tabStorage());
    /** Where a range begins. @type {HTMLInputElement | null} */
    this.anchor = null;
    this.stop = new AbortController();
    const { signal } = this.stop;
    const find = (/** @type {string} */ name) => /** @type {HTMLElement} */ (this.querySelector(`[${name}]`));
    this.all = /** @type {HTMLInputElement} */ (find("data-files-all"));
    this.told = find("data-files-chosen");
    this.more = find("data-files-everything");
    this.none = find("data-files-clear");
    this.all.addEventListener("change", () => this.setAll(this.all.checked));
    this.more.addEventListener("click", () => this.chooseEverything());
    this.none.addEventListener("click", () => this.clear());
    this.form.addEventListener("submit", (event) => this.onSubmit(event));
    this.addEventListener("click", (event) => this.onClick(event));
    this.addEventListener("mousedown", (event) => {
      // Or the browser would select the text between.
      if (event.shiftKey && /** @type {Element} */ (event.target).closest("tr, li")) event.preventDefault();
    });
    this.addEventListener("keydown", (event) => this.onArrow(event));
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    window.addEventListener("pageshow", () => this.draw(), { signal });
    document.addEventListener("datasette-files-grown", () => this.look(), { signal });
    this.listenToPresses();
    this.look();
  }

  /** Find the boxes; the list may have grown. */
  look() {
    this.boxes = /** @type {HTMLInputElement[]} */ ([...this.querySelectorAll("[name=id]")]);
    this.draw();
  }

  disconnectedCallback() {
    this.stop?.abort();
  }

  get total() {
    return Number(this.dataset.total);
  }

  /** @param {HTMLInputElement[]} boxes @param {boolean} chosen */
  set(boxes, chosen) {
    this.chosen.set(
      boxes.map((box) => /** @type {[string, string]} */ ([box.value, nameOf(box)])),
      chosen,
    );
    this.draw();
  }

  /** @param {boolean} chosen */
  setAll(chosen) {
    this.set(this.boxes, chosen);
  }

  clear() {
    const focused = this.none.contains(document.activeElement);
    this.chosen.clear();
    this.anchor = null;
    this.draw();
    if (focused) this.all.focus();
  }

  chooseEverything() {
    this.setAll(true);
    this.chosen.everything = true;
    this.draw();
    this.none.focus();
  }

  /** @param {HTMLInputElement} box @param {boolean} chosen @param {boolean} ranging */
  choose(box, chosen, ranging) {
    const from = this.anchor ? this.boxes.indexOf(this.anchor) : -1;
    const to = this.boxes.indexOf(box);
    const several = ranging && from >= 0;
    this.set(several ? this.boxes.slice(Math.min(from, to), Math.max(from, to) + 1) : [box], chosen);
    if (!several) this.anchor = box;
  }

  draw() {
    const { chosen } = this;
    let here = 0;
    for (const box of this.boxes) {
      box.checked = chosen.everything || chosen.has(box.value);
      placeOf(box).classList.toggle("files-is-chosen", box.checked);
      if (box.checked) here += 1;
    }
    this.all.checked = here === this.boxes.length;
    this.all.indeterminate = here > 0 && !this.all.checked;
    const away = chosen.size - here;
    const many = `${formatCount(this.total)}${this.dataset.truncated ? " or more" : ""}`;
    let text = chosen.size ? `${formatCount(chosen.size)} chosen` : "None chosen";
    if (away > 0) text += ` (${formatCount(away)} on other pages)`;
    if (chosen.everything) text = `All ${many} chosen`;
    setText(this.told, text);
    if (announcer.textContent || chosen.size) setText(announcer, text);
    const some = chosen.everything || chosen.size > 0;
    this.toggleAttribute("data-files-some", some);
    this.none.hidden = !some;
    this.more.hidden =
      !this.all.checked || chosen.everything || this.total <= this.boxes.length || !this.dataset.match;
    setText(this.more, `Select all ${many} that match`);
    const buttons = "button[name=action], button[name=zip], button[name=bundle]";
    for (const button of this.form.querySelectorAll(buttons)) {
      /** @type {HTMLButtonElement} */ (button).disabled = !some;
    }
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const place = target.closest("tbody tr, .files-grid li");
    const box = /** @type {HTMLInputElement | null} */ (place?.querySelector("[name=id]"));
    if (!box) return;
    if (target === box) return this.choose(box, box.checked, event.shiftKey);
    const touched = /** @type {PointerEvent} */ (event).pointerType === "touch" && this.chosen.size > 0;
    if (this.pressed || touched) {
      event.preventDefault(); // of the link that a finger is on
      if (!this.pressed) this.choose(box, !box.checked, false);
      this.pressed = false;
      return;
    }
    if (target.closest("a, button, input, label, summary") && !event.shiftKey) return;
    if (!window.getSelection()?.isCollapsed) return;
    if (event.shiftKey) event.preventDefault();
    this.choose(box, event.shiftKey || !box.checked, event.shiftKey);
  }

  /** Arrows move between the boxes; with shift they choose. @param {KeyboardEvent} event */
  onArrow(event) {
    const at = this.boxes.indexOf(/** @type {HTMLInputElement} */ (event.target));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const top = (/** @type {number} */ index) => placeOf(this.boxes[index]).offsetTop;
    const columns = this.boxes.filter((_, index) => top(index) === top(0)).length;
    const steps = { ArrowDown: columns, ArrowUp: -columns, ArrowRight: 1, ArrowLeft: -1 };
    const step = /** @type {Record<string, number>} */ (steps)[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = this.boxes[at + step];
    if (!next) return;
    if (event.shiftKey) {
      if (!this.anchor) this.choose(this.boxes[at], true, false);
      this.choose(next, true, true);
    }
    next.focus();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest(TYPING) || document.querySelector("dialog[open]")) return;
    if (event.key === "a" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.setAll(true);
    } else if (event.key === "Escape" && (this.chosen.size || this.chosen.everything)) {
      this.clear();
    }
  }

  listenToPresses() {
    let timer = 0;
    let from = [0, 0];
    this.pressed = false;
    const drop = () => clearTimeout(timer);
    this.addEventListener("pointerdown", (event) => {
      const place = /** @type {Element} */ (event.target).closest("tbody tr, .files-grid li");
      const box = /** @type {HTMLInputElement | null} */ (place?.querySelector("[name=id]"));
      this.pressed = false;
      if (event.pointerType !== "touch" || !box || event.target === box) return;
      from = [event.clientX, event.clientY];
      timer = setTimeout(() => {
        this.pressed = true;
        this.choose(box, !box.checked, false);
      }, PRESS);
    });
    this.addEventListener("pointermove", (event) => {
      if (Math.hypot(event.clientX - from[0], event.clientY - from[1]) > MOVES) drop();
    });
    for (const end of ["pointerup", "pointercancel"]) this.addEventListener(end, drop);
    // A finger that chooses opens no menu of the link below it.
    this.addEventListener("contextmenu", (event) => this.pressed && event.preventDefault());
  }

  /** The fields of a request. @param {string} action */
  fields(action) {
    const fields = new URLSearchParams({ action, back: location.pathname + location.search });
    if (this.chosen.everything) fields.set("match", this.dataset.match ?? "");
    else for (const id of this.chosen.names.keys()) fields.append("id", id);
    return fields;
  }

  /** @param {SubmitEvent} event */
  async onSubmit(event) {
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
    if (button?.name === "zip" || button?.name === "bundle") {
      event.preventDefault();
      const fields = this.fields(button.name);
      fields.set(button.name, button.value);
      return sendForm(button.formAction, fields);
    }
    if (button?.name !== "action" || !window.DatasetteModal) return;
    event.preventDefault();
    const action = button.value;
    const fields = this.fields(action);
    const { everything } = this.chosen;
    const direct = action === "restore" || (action === "delete" && this.dataset.undoable);
    button.disabled = true;
    try {
      if (direct && !everything) await this.send(action, fields);
      else {
        const form = await fetchQuestion(fields, this.url);
        ask(
          form,
          button,
          (given) => this.send(action, given),
          () => outcome.focus(),
        );
      }
    } catch (error) {
      outcome.tell(told(error));
    } finally {
      this.draw();
    }
  }

  /** Do the action, and tell the outcome. Raises an Error for the reader. @param {string} action
   *  @param {URLSearchParams} fields */
  async send(action, fields) {
    const names = new Map(this.chosen.names);
    const answer = await this.post(fields);
    this.chosen.clear();
    if (answer.job) return location.assign(answer.job.url);
    const reasons = JSON.parse(this.dataset.reasons ?? "{}");
    const undo = async () => {
      const back = new URLSearchParams({ action: "restore" });
      for (const id of answer.trashed) back.append("id", id);
      try {
        const restored = await this.post(back);
        outcome.show("restore", restored, names, reasons, () => {});
        refresh();
      } catch (error) {
        outcome.tell(told(error));
      }
    };
    outcome.show(action, answer, names, reasons, undo);
    this.draw();
    refresh();
  }

  /** @param {URLSearchParams} body */
  async post(body) {
    try {
      return await requestJson(this.url, { method: "POST", body });
    } catch (error) {
      throw new Error(told(error));
    }
  }
}

/** @param {unknown} error */
function told(error) {
  if (!(error instanceof ApiError)) return /** @type {Error} */ (error).message;
  return error.status > 0 && error.message ? error.message : explained(error);
}

/** Send a form that is not on the page: its answer is a download, so the page stays.
 *  @param {string} action @param {URLSearchParams} fields */
function sendForm(action, fields) {
  const inputs = [...fields].map(([name, value]) => element("input", { type: "hidden", name, value }));
  const form = element("form", { method: "post", action, hidden: "" }, ...inputs);
  document.body.append(form);
  form.submit();
  form.remove();
}

/** Let the list be fetched again (live-search.js). */
function refresh() {
  document.dispatchEvent(new CustomEvent("datasette-files-changed"));
}

define("files-selection", FilesSelection);
