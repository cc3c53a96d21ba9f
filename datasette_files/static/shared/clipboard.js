/** Copies text to the clipboard, over plain HTTP too; a button shows the outcome. */

/** Milliseconds that a button shows the outcome. */
const SHOWN = 2000;

/** Raises Error if the browser lets no page copy. @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP browsers have no navigator.clipboard; the old command still works.
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

/** Buttons that show an outcome. @type {WeakSet<HTMLElement>} */
const telling = new WeakSet();

/**
 * Copy, and show the outcome on the button for a moment; screen readers read the focused button's name.
 * @param {HTMLButtonElement} button @param {string} text
 */
export async function copyFrom(button, text) {
  if (telling.has(button)) return;
  telling.add(button);
  const [shown, name] = [button.textContent, button.getAttribute("aria-label")];
  // The button keeps its width, so that its neighbours do not move.
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
