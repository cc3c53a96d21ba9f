/** Texts put on the clipboard, over plain HTTP too, and a button that says so. */

/** Milliseconds that a button says what happened. */
const SHOWN = 2000;

/** @param {string} text Raises where the browser lets no page copy. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP browsers have no clipboard object, but still this.
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed"; // or the page would scroll to it
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  if (!copied) throw new Error("The browser refused to copy");
}

/** @type {WeakSet<HTMLElement>} Those that say what happened. */
const telling = new WeakSet();

/**
 * Copy, and let the button say so for a moment; screen readers hear it as the focused button's name.
 * @param {HTMLButtonElement} button @param {string} text
 */
export async function copyFrom(button, text) {
  if (telling.has(button)) return;
  telling.add(button);
  const [shown, name] = [button.textContent, button.getAttribute("aria-label")];
  // As wide as before, so that its neighbours stay where they are.
  button.style.minWidth = `${button.getBoundingClientRect().width}px`;
  let outcome = "Copied";
  await copyText(text).catch(() => {
    outcome = "Not copied";
  });
  button.removeAttribute("aria-label");
  button.textContent = outcome;
  setTimeout(() => {
    telling.delete(button);
    button.textContent = shown;
    if (name !== null) button.setAttribute("aria-label", name);
  }, SHOWN);
}
