import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, FilesApi } from "../../datasette_files/static/api.js";
import { uploadFile } from "../../datasette_files/static/upload/client.js";

const RECORD = { id: "df-1" };
const SIZE = 10;
/** A file of `count` parts; the last has one byte. */
const fileOf = (count) => new Blob([new Uint8Array((count - 1) * SIZE + 1)]);

/** A server that offers parts, and what it was asked to sign. */
function server(count) {
  const signed = [];
  const fetcher = async (url, { body }) => {
    const step = url.split("/").at(-1);
    const asked = JSON.parse(body);
    let answer = { ok: true, file: RECORD };
    if (step === "prepare") {
      const parts = { part_size: SIZE, count, sign_url: "/x/-/sign-parts", list_url: "/x/-/list-parts" };
      answer = { ok: true, upload_token: "tok_1", upload_url: "/form", upload_parts: parts };
    } else if (step === "sign-parts") {
      assert.equal(asked.upload_token, "tok_1");
      signed.push(asked.numbers);
      const parts = asked.numbers.map((number) => ({ number, url: `/put/${number}`, headers: { a: "b" } }));
      answer = { ok: true, parts, expires_in: 60 };
    }
    return new Response(JSON.stringify(answer));
  };
  return { api: new FilesApi("/", fetcher), signed };
}

test("every part is sent once, a few at a time, by its own URL", async () => {
  const { api, signed } = server(40);
  const sizes = new Map();
  let now = 0;
  let most = 0;
  const progress = [];
  const record = await uploadFile(api, "docs", fileOf(40), {
    sleep: async () => {},
    onProgress: (bytes) => progress.push(bytes),
    send: async ({ upload_url, upload_method, upload_headers }, blob) => {
      assert.deepEqual([upload_method, upload_headers], ["PUT", { a: "b" }]);
      assert.ok(!sizes.has(upload_url));
      sizes.set(upload_url, blob.size);
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 1));
      now--;
    },
  });
  assert.deepEqual(record, RECORD);
  assert.equal(sizes.size, 40);
  assert.deepEqual([sizes.get("/put/1"), sizes.get("/put/40")], [SIZE, 1]);
  assert.equal(most, 4);
  assert.equal(progress.at(-1), 391);
  assert.deepEqual(signed.flat().sort((a, b) => a - b), Array.from({ length: 40 }, (_, n) => n + 1));
  assert.ok(signed.every((numbers) => numbers.length <= 16));
});

test("a part that fails is signed and sent again alone", async () => {
  const { api, signed } = server(3);
  const tries = {};
  const slept = [];
  await uploadFile(api, "docs", fileOf(3), {
    sleep: async (milliseconds) => slept.push(milliseconds),
    send: async ({ upload_url }) => {
      tries[upload_url] = (tries[upload_url] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, upload_url === "/put/2" ? 5 : 0));
      if (upload_url === "/put/2" && tries[upload_url] < 3) throw new ApiError("network", "");
    },
  });
  assert.deepEqual(tries, { "/put/1": 1, "/put/2": 3, "/put/3": 1 });
  assert.deepEqual(slept, [1000, 3000]);
  assert.deepEqual(signed, [[1, 2, 3], [2], [2]]);
});

test("a refusal ends the upload at once, and the other parts with it", async () => {
  const { api } = server(9);
  const aborted = [];
  const sending = uploadFile(api, "docs", fileOf(9), {
    sleep: async () => {},
    send: ({ upload_url }, _, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          aborted.push(upload_url);
          reject(signal.reason);
        });
        if (upload_url === "/put/2") reject(new ApiError("no_space", ""));
      }),
  });
  await assert.rejects(sending, { code: "no_space" });
  assert.deepEqual(aborted.filter((url) => url !== "/put/2"), ["/put/1", "/put/3", "/put/4"]);
});

test("an aborted upload rejects with the reason of its signal", async () => {
  const { api } = server(9);
  const controller = new AbortController();
  const sending = uploadFile(api, "docs", fileOf(9), {
    signal: controller.signal,
    sleep: async () => {},
    send: (_, __, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  setTimeout(() => controller.abort(), 5);
  await assert.rejects(sending, { name: "AbortError" });
});

test("where no part can be sent, the form is used", async () => {
  const { api } = server(9);
  const sent = [];
  const record = await uploadFile(api, "docs", fileOf(9), {
    sleep: async () => {},
    send: async ({ upload_url }) => {
      sent.push(upload_url);
      if (upload_url !== "/form") throw new ApiError("network", "");
    },
  });
  assert.deepEqual(record, RECORD);
  assert.equal(sent.at(-1), "/form");
  assert.ok(sent.length <= 9, "without trying for long");
});
