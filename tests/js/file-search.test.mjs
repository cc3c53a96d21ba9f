import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../datasette_files/static/api.js";
import { FileSearch, MAX_FOUND } from "../../datasette_files/static/picker/search.js";

const file = (id) => ({ id: `df-${id}` });
const page = (ids, next = null) => ({ files: ids.map(file), total: 9, next });
const settled = () => new Promise((resolve) => setTimeout(resolve));
const ids = (search) => search.files.map(({ id }) => id);

/** An API whose answers are given by hand, in any order. */
function api() {
  const asked = [];
  const ask = (what, signal) =>
    new Promise((resolve, reject) => asked.push({ what, signal, resolve, reject }));
  return {
    asked,
    search: (query, signal) => ask({ ...query }, signal),
    list: (source, query, signal) => ask([source, ...query.flat()], signal),
  };
}

test("a later question is not answered by an earlier one's answer", async () => {
  const files = api();
  const search = new FileSearch(files, []);
  search.ask({ q: "sl", source: "" });
  search.ask({ q: "slow", source: "" });
  files.asked[1].resolve(page(["slow"]));
  await settled();
  files.asked[0].resolve(page(["sl"]));
  await settled();
  assert.ok(files.asked[0].signal.aborted);
  assert.deepEqual([ids(search), search.loading], [["df-slow"], false]);
});

test("a source's list is filtered by the server, a search is not", async () => {
  const files = api();
  const search = new FileSearch(files, ["image/*", "text/csv"]);
  search.ask({ q: "", source: "docs" });
  search.ask({ q: "tower", source: "docs" });
  search.ask({ q: "", source: "" });
  assert.deepEqual(files.asked.map(({ what }) => what), [
    ["docs", "_size", "40", "content_type", "image/*", "content_type", "text/csv"],
    { q: "tower", source: "docs", _size: "40" },
    { q: "", _size: "40" },
  ]);
});

test("extensions cannot be filtered by", () => {
  const files = api();
  for (const pattern of [".pdf", "*/*"]) {
    new FileSearch(files, ["image/*", pattern]).ask({ q: "", source: "docs" });
    assert.deepEqual(files.asked.pop().what, ["docs", "_size", "40"]);
  }
});

test("pages follow one another, one at a time", async () => {
  const files = api();
  const search = new FileSearch(files, []);
  search.ask({ q: "a", source: "" });
  search.more();
  assert.equal(files.asked.length, 1);
  files.asked[0].resolve(page(["1", "2"], "token"));
  await settled();
  search.more();
  search.more();
  assert.equal(files.asked.length, 2);
  assert.equal(files.asked[1].what._next, "token");
  files.asked[1].resolve(page(["3"]));
  await settled();
  search.more();
  assert.deepEqual([ids(search), files.asked.length], [["df-1", "df-2", "df-3"], 2]);
});

test("what failed is asked again, and what is shown stays", async () => {
  const files = api();
  const search = new FileSearch(files, []);
  search.ask({ q: "a", source: "" });
  files.asked[0].resolve(page(["1"], "token"));
  await settled();
  search.more();
  files.asked[1].reject(new ApiError("timeout", "slow"));
  await settled();
  assert.equal(search.error.code, "timeout");
  search.more(); // not of its own accord
  search.retry();
  files.asked[2].resolve(page(["2"]));
  await settled();
  assert.equal(files.asked[2].what._next, "token");
  assert.deepEqual([ids(search), search.error], [["df-1", "df-2"], null]);
});

test("a first page that failed is asked for as the first", async () => {
  const files = api();
  const search = new FileSearch(files, []);
  search.ask({ q: "a", source: "" });
  files.asked[0].resolve(page(["1"], "token"));
  await settled();
  search.ask({ q: "b", source: "" });
  files.asked[1].reject(new ApiError("network", ""));
  await settled();
  search.retry();
  assert.deepEqual(files.asked[2].what, { q: "b", _size: "40" });
});

test("there is an end to scrolling", async () => {
  const files = api();
  const search = new FileSearch(files, []);
  search.ask({ q: "", source: "" });
  files.asked[0].resolve(page(Array.from({ length: MAX_FOUND }, (_, n) => `${n}`), "token"));
  await settled();
  assert.ok(!search.hasMore);
});

test("a picker that is closed hears nothing", async () => {
  const files = api();
  const search = new FileSearch(files, []);
  search.ask({ q: "", source: "" });
  search.addEventListener("change", () => assert.fail("it is closed"));
  search.stop();
  files.asked[0].resolve(page(["1"]));
  await settled();
  assert.deepEqual(search.files, []);
});
