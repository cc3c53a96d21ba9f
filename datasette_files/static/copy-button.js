/**
 * Buttons that copy: `<button data-files-copy="the text">`. What happened is shown on the button for
 * a moment, and told to screen readers by #files-status.
 */

const SHOWN_MS = 2000;

/** @param {string} text Raises where the browser lets no page copy. */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP browsers have no clipboard object, but still this.
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "files-hidden";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  if (!copied) throw new Error("copying was refused");
}

for (const button of document.querySelectorAll("button[data-files-copy]")) {
  const label = button.textContent;
  let timer = 0;
  button.addEventListener("click", async () => {
    let outcome = "Copied";
    try {
      await copy(/** @type {HTMLElement} */ (button).dataset.filesCopy ?? "");
    } catch {
      outcome = "Not copied";
    }
    // As wide as before, so that its neighbours stay where they are.
    const { width } = button.getBoundingClientRect();
    /** @type {HTMLElement} */ (button).style.minWidth = `${width}px`;
    button.textContent = outcome;
    /** @type {HTMLElement} */ (button).focus();
    const status = document.getElementById("files-status");
    if (status) status.textContent = `${outcome}: ${label?.replace(/^Copy /, "")}`;
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
    }, SHOWN_MS);
  });
}
