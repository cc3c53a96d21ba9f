import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.HTMLElement = class {
  dataset = {};
  querySelector() {
    return this.link;
  }
};
globalThis.customElements = { get: () => true };
/** @type {string[]} */
const asked = [];
globalThis.fetch = async (url) => {
  asked.push(url);
  throw new TypeError("no network");
};

const { DatasetteFile } = await import("../../datasette_files/static/file-cells.js");
const FILE = "-/files/df-01j5a3b4c5d6e7f8g9h0jkmnpq";

/** @param {string} href */
async function connected(href) {
  const file = new DatasetteFile();
  file.link = { getAttribute: () => href };
  await file.connectedCallback();
  return [file.dataset.state, file.link.title];
}

test("a file of this site is asked for, and a failure is told on its link", async () => {
  for (const base of ["/", "/under/here/"]) {
    const [state, title] = await connected(`${base}${FILE}`);
    assert.equal(state, "failed");
    assert.match(title, /reload the page/);
    assert.ok(asked.pop().startsWith(`${base}-/files/batch.json?id=df-`));
  }
});

test("nothing is asked of another site", async () => {
  const odd = ["https://other.test/", "//other.test/", "/\\other.test/", "/\t/other.test/", "", " /"];
  for (const base of odd) assert.deepEqual(await connected(`${base}${FILE}`), [undefined, undefined]);
  assert.deepEqual(asked, []);
});
