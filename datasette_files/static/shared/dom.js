/**
 * Makes elements from attributes and text, never from HTML, so that the name of a file is always text.
 * Leaves out what they mean.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a square of 24 by 24, drawn as lines. */
const ICONS = {
  upload: "M12 16V4m0 0L7 9m5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  close: "M6 6l12 12M18 6L6 18",
  up: "M12 19V5m-6 6 6-6 6 6",
  down: "M12 5v14m-6-6 6 6 6-6",
  check: "M5 12.5l4.5 4.5L19 7.5",
  pause: "M9 5v14M15 5v14",
  resume: "M8 5l11 7-11 7z",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  more: "M12 5v14M5 12h14",
  less: "M5 12h14",
  details: "M12 11v6m0-10v.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18",
  retry: "M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5",
};

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | boolean | EventListener>} [attributes] `true` is an attribute
 *   without a value, `false` none; a function listens to the event of that name.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/**
 * A button that does not send the form around it.
 * @param {string | (Node | string)[]} content
 * @param {() => void} act
 * @param {Record<string, string | boolean>} [attributes]
 */
export function button(content, act, attributes = {}) {
  const all = { type: "button", class: "upload-button", click: act, ...attributes };
  return element("button", all, ...[content].flat());
}

/** @param {keyof typeof ICONS} name @returns {SVGElement} Hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("upload-icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Write a text only if it differs: screen readers announce, and browsers draw, each text written.
 * @param {Element} target @param {string} text
 */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/**
 * Give the focus to a place that Tab does not stop at, for a control in it that is gone.
 * @param {HTMLElement} place
 */
export function focusPlace(place) {
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
}

/** Milliseconds of rest after which typing counts as finished. */
const PAUSE = 200;

/**
 * Call `act` when somebody has finished typing into a field or a form.
 * @param {HTMLElement} target @param {() => void} act
 * @returns {() => void} Drops a call that is due.
 */
export function onTyping(target, act) {
  let timer = 0;
  const soon = (/** @type {Event} */ event) => {
    // An unfinished Chinese or Japanese character is no word yet.
    if (event instanceof InputEvent && event.isComposing) return;
    clearTimeout(timer);
    timer = setTimeout(act, PAUSE);
  };
  target.addEventListener("input", soon);
  target.addEventListener("compositionend", soon);
  return () => clearTimeout(timer);
}

/**
 * A select of sources.
 * @param {{slug: string, label: string}[]} sources
 * @param {(slug: string, label: string) => void} choose
 * @param {Record<string, string | boolean>} [attributes]
 */
export function sourceSelect(sources, choose, attributes = {}) {
  const select = element("select", { class: "picker-sources", ...attributes });
  select.append(...sources.map(({ slug, label }) => element("option", { value: slug }, label)));
  select.addEventListener("change", () => choose(select.value, select.selectedOptions[0].label));
  return select;
}

/** Define a custom element, once on a page. @param {string} name @param {CustomElementConstructor} made */
export function define(name, made) {
  if (customElements.get(name) === undefined) customElements.define(name, made);
}
