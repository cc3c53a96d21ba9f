import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../datasette_files/static/api.js";
import { FileRecords } from "../../datasette_files/static/shared/file-records.js";
import { FileSources, usable } from "../../datasette_files/static/picker/sources.js";

test("files that are asked for together are fetched together, 200 at once", async () => {
  const asked = [];
  const records = new FileRecords({
    batch: async (ids) => {
      asked.push(ids.length);
      return { files: { a: { id: "a", filename: "a.txt", info_url: "/-/files/a" } } };
    },
  });
  const others = Array.from({ length: 249 }, (_, n) => records.get(`x${n}`));
  assert.equal((await records.get("a")).url, "/-/files/a");
  assert.equal(await records.get("a"), await records.get("a"));
  assert.ok((await Promise.all(others)).every((file) => file === null));
  // A name that every object has is no file.
  assert.equal(await records.get("toString"), null);
  assert.deepEqual(asked, [200, 50, 1]);
});

test("what could not be fetched is asked for again", async () => {
  const answers = [new ApiError("network", ""), { files: {} }];
  const records = new FileRecords({
    batch: async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  await assert.rejects(records.get("a"), { code: "network" });
  assert.equal(await records.get("a"), null);
});

test("one that came otherwise is known", async () => {
  const records = new FileRecords({ batch: () => assert.fail("it is known") });
  records.put({ id: "a", filename: "a.txt" });
  assert.equal((await records.get("a")).filename, "a.txt");
});

const source = (slug, can_browse, can_upload, takes = true) => ({
  slug,
  can_browse,
  can_upload,
  capabilities: { can_upload: takes },
});

test("sources are asked for once, and again after a failure", async () => {
  let asked = 0;
  const sources = new FileSources({
    sources: async () => {
      asked += 1;
      if (asked === 1) throw new ApiError("network", "");
      return { sources: [source("docs", true, false)] };
    },
  });
  await assert.rejects(sources.load(), { code: "network" });
  assert.equal((await Promise.all([sources.load(), sources.load()]))[0].length, 1);
  assert.equal(asked, 2);
});

test("what may be done in which source", () => {
  const all = [source("a", true, false), source("b", false, true), source("c", true, true, false)];
  const slugs = (found) => found.map(({ slug }) => slug).join("");
  const any = usable(all, "");
  assert.deepEqual([slugs(any.browsable), slugs(any.uploadable)], ["ac", "b"]);
  const one = usable(all, "b");
  assert.deepEqual([slugs(one.browsable), slugs(one.uploadable)], ["", "b"]);
});
