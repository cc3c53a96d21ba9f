import assert from "node:assert/strict";
import { test } from "node:test";

import { sha256 } from "../../datasette_files/static/upload/checksum.js";

/** A file on a disk that does not answer until told. */
function stuck() {
  let answer;
  const bytes = new Promise((resolve) => {
    answer = () => resolve(new ArrayBuffer(0));
  });
  return { size: 1, arrayBuffer: () => bytes, answer };
}

test("a digest is that of the bytes", async () => {
  const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  assert.equal(await sha256(new Blob(["hello"])), hello);
});

test("a file that cannot be read is told as such", async () => {
  const gone = { size: 1, arrayBuffer: () => Promise.reject(new Error("NotReadableError")) };
  await assert.rejects(sha256(gone), { code: "unreadable" });
});

test("a slow disk keeps nobody from cancelling, and its place is given back", async () => {
  const slow = [stuck(), stuck(), stuck()];
  const controller = new AbortController();
  const digests = slow.map((file) => sha256(file, controller.signal));
  controller.abort();
  for (const digest of digests) await assert.rejects(digest, { name: "AbortError" });
  for (const { answer } of slow) answer();
  assert.match(await sha256(new Blob(["next"])), /^[0-9a-f]{64}$/);
});
