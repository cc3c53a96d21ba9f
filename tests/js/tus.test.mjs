import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { ApiError, FilesApi } from "../../datasette_files/static/api.js";
import { uploadFile } from "../../datasette_files/static/upload/client.js";
import { UploadQueue } from "../../datasette_files/static/upload/queue.js";

const MIB = 1024 * 1024;
const CONTENT = Uint8Array.from({ length: 10 * MIB + 3 }, (_, place) => place * 7 + (place >> 13));
const COLLECTION = "/-/files/upload/docs/-/tus";

class FakeFile extends Blob {
  name = "ä.bin";
  lastModified = 5;
}

/** A server of tus that holds one upload at most, and can be told to fail. */
class Server {
  constructor({ resumable = true } = {}) {
    this.resumable = resumable;
    this.upload = null;
    this.asked = [];
    this.patched = [];
    this.ways = [];
    /** Called before each request that is not of prepare or complete; may throw or return an answer. */
    this.meddle = () => undefined;
    this.api = new FilesApi("/", async (url, { body }) => {
      const step = url.split("/").at(-1);
      this.asked.push(step);
      const told = JSON.parse(body);
      if (step === "prepare") {
        this.ways.push(told);
        const answer = { ok: true, upload_token: "tok", upload_url: "/form", upload_resumable_url: COLLECTION };
        return new Response(JSON.stringify(answer));
      }
      return new Response(JSON.stringify({ ok: true, file: { id: told.upload_token } }));
    });
    this.exchange = async (asked) => {
      const { method, url, headers, body, signal, onSent } = asked;
      assert.equal(headers["Tus-Resumable"], "1.0.0");
      this.asked.push(method);
      signal?.throwIfAborted();
      const meddled = await this.meddle(asked);
      if (meddled) return answer(...meddled);
      if (method === "POST") {
        if (!this.resumable) return answer(405);
        this.upload = { size: Number(headers["Upload-Length"]), bytes: Buffer.alloc(0), metadata: headers["Upload-Metadata"] };
        return answer(201, { Location: `${COLLECTION}/a1` });
      }
      assert.equal(url, `${COLLECTION}/a1`);
      if (this.upload === null) return answer(410);
      if (method === "DELETE") this.upload = null;
      if (method === "HEAD") return answer(200, { "Upload-Offset": this.upload.bytes.length });
      if (method !== "PATCH") return answer(204);
      const sent = Buffer.from(await body.arrayBuffer());
      if (Number(headers["Upload-Offset"]) !== this.upload.bytes.length) return answer(409);
      const digest = createHash("sha256").update(sent).digest("base64");
      assert.equal(headers["Upload-Checksum"], `sha256 ${digest}`);
      onSent(sent.length / 2, sent.length);
      this.patched.push(sent.length);
      this.upload.bytes = Buffer.concat([this.upload.bytes, sent]);
      onSent(sent.length, sent.length);
      return answer(204, { "Upload-Offset": this.upload.bytes.length });
    };
  }
}

const answer = (status, headers = {}, text = "") => ({
  status,
  text,
  header: (name) => (name in headers ? String(headers[name]) : null),
});

/** The options of an upload to a server, and what it told. */
function watched(server, more = {}) {
  const told = { progress: [], offsets: [], steps: [], waits: [] };
  const network = {
    isOffline: () => false,
    onOffline: () => {},
    wait: async (milliseconds) => void told.waits.push(milliseconds),
  };
  const options = {
    exchange: server.exchange,
    network,
    onStep: (step, why) => told.steps.push(why ? `${step} ${why.code}` : step),
    onProgress: (bytes) => told.progress.push(bytes),
    onOffset: (bytes) => told.offsets.push(bytes),
    send: async () => void server.asked.push("form"),
    ...more,
  };
  return { told, options };
}

test("a large file goes in chunks with checksums, and its token completes it", async () => {
  const server = new Server();
  const { told, options } = watched(server, { column: { database: "d", table: "t", column: "c" } });
  const record = await uploadFile(server.api, "docs", new FakeFile([CONTENT], { type: "a/b" }), options);
  assert.equal(record.id, "resumable/a1");
  assert.deepEqual(server.asked, ["prepare", "POST", "PATCH", "PATCH", "PATCH", "complete"]);
  assert.ok(server.upload.bytes.equals(CONTENT));
  assert.equal(told.progress.at(-1), CONTENT.length);
  assert.deepEqual(told.progress, [...told.progress].sort((a, b) => a - b));
  const metadata = Object.fromEntries(
    server.upload.metadata.split(",").map((pair) => {
      const [key, value] = pair.split(" ");
      return [key, Buffer.from(value, "base64").toString()];
    }),
  );
  const sha256 = createHash("sha256").update(CONTENT).digest("hex");
  const column = '{"database":"d","table":"t","column":"c"}';
  assert.deepEqual(metadata, { filename: "ä.bin", filetype: "a/b", sha256, column, upload_token: "tok" });
});

test("small files, and sources that take none after all, go as before", async () => {
  const small = new Server();
  await uploadFile(small.api, "docs", new FakeFile(["hi"]), watched(small).options);
  assert.deepEqual(small.asked, ["prepare", "form", "complete"]);
  const refusing = new Server({ resumable: false });
  await uploadFile(refusing.api, "docs", new FakeFile([CONTENT]), watched(refusing).options);
  assert.deepEqual(refusing.asked, ["prepare", "POST", "form", "complete"]);
});

test("what breaks goes on at the server's offset, with smaller chunks and growing pauses", async () => {
  const server = new Server();
  let broken = 8;
  server.meddle = ({ method, onSent }) => {
    if (method !== "PATCH" || server.upload.bytes.length < 4 * MIB || broken-- <= 0) return undefined;
    onSent(3 * MIB, 4 * MIB);
    throw new ApiError("network", "gone");
  };
  const { told, options } = watched(server);
  await uploadFile(server.api, "docs", new FakeFile([CONTENT]), options);
  assert.ok(server.upload.bytes.equals(CONTENT));
  assert.deepEqual(told.waits, [1000, 2000, 5000, 10_000, 30_000, 60_000, 60_000, 60_000]);
  assert.equal(told.steps.filter((step) => step === "interrupted network").length, 8);
  // What was on its way into the broken chunk is not counted as sent.
  assert.deepEqual(told.offsets, [0, ...Array(8).fill(4 * MIB)]);
  assert.equal(server.patched[1], MIB / 4);
  assert.deepEqual(server.patched.slice(2, 5), [MIB / 2, MIB, 2 * MIB]);
});

test("a lost last answer makes no second file, and damaged bytes end after three tries", async () => {
  const lost = new Server();
  const { exchange } = lost;
  let answers = 0;
  lost.exchange = async (asked) => {
    const told = await exchange(asked);
    if (asked.method === "PATCH" && ++answers === 3) throw new ApiError("network", "");
    return told;
  };
  await uploadFile(lost.api, "docs", new FakeFile([CONTENT]), watched(lost).options);
  assert.deepEqual(lost.asked.slice(-2), ["HEAD", "complete"]);
  assert.equal(lost.asked.filter((step) => step === "POST").length, 1);

  const damaged = new Server();
  const body = JSON.stringify({ ok: false, code: "checksum_mismatch", error: "damaged", status: 460 });
  damaged.meddle = ({ method }) => (method === "PATCH" ? [460, {}, body] : undefined);
  const { told, options } = watched(damaged);
  const refused = uploadFile(damaged.api, "docs", new FakeFile([CONTENT]), options);
  await assert.rejects(refused, { code: "checksum_mismatch" });
  assert.deepEqual(told.waits, [1000, 2000]);
});

test("a refusal is told at once, and an upload that the server lost begins anew", async () => {
  const full = new Server();
  full.meddle = ({ method }) => (method === "PATCH" ? [507] : undefined);
  const refused = uploadFile(full.api, "docs", new FakeFile([CONTENT]), watched(full).options);
  await assert.rejects(refused, { code: "no_space" });
  assert.deepEqual(full.asked, ["prepare", "POST", "PATCH"]);

  full.meddle = () => undefined;
  full.asked.length = 0;
  const { options } = watched(full, { address: `${COLLECTION}/a1` });
  await uploadFile(full.api, "docs", new FakeFile([CONTENT]), options);
  assert.deepEqual(full.asked.slice(0, 2), ["HEAD", "PATCH"]);

  full.upload = null;
  full.asked.length = 0;
  await uploadFile(full.api, "docs", new FakeFile([CONTENT]), watched(full, options).options);
  assert.deepEqual(full.asked.slice(0, 4), ["HEAD", "prepare", "POST", "PATCH"]);
});

test("a proxy that takes only small requests gets small ones, and one that takes none is told", async () => {
  const small = new Server();
  small.meddle = ({ method, body }) => (method === "PATCH" && body.size > MIB ? [413] : undefined);
  const { told, options } = watched(small);
  await uploadFile(small.api, "docs", new FakeFile([CONTENT]), options);
  assert.ok(small.upload.bytes.equals(CONTENT));
  assert.deepEqual([Math.max(...small.patched), told.waits], [MIB, []]);
  assert.equal(small.asked.filter((step) => step === "PATCH").length, 2 + 11);

  small.meddle = ({ method }) => (method === "PATCH" ? [413] : undefined);
  const refused = uploadFile(small.api, "docs", new FakeFile([CONTENT]), watched(small).options);
  await assert.rejects(refused, { code: "too_large" });
});

test("a queue pauses, goes on, and gives up what is cancelled", async () => {
  const server = new Server();
  let reached = () => {};
  server.meddle = ({ method, signal }) => {
    if (method !== "PATCH" || server.upload.bytes.length === 0) return undefined;
    reached();
    return new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const dropped = [];
  const queue = new UploadQueue(
    (item, options) => uploadFile(server.api, "docs", item.file, { ...watched(server).options, ...options }),
    { drop: (address) => dropped.push(address) },
  );
  const change = (holds) =>
    new Promise((resolve) => {
      const look = () => holds() && resolve();
      queue.addEventListener("change", look);
      look();
    });
  const atSecond = () => new Promise((resolve) => (reached = resolve));

  let there = atSecond();
  const [item] = queue.add([{ file: new FakeFile([CONTENT]) }]);
  await there;
  assert.ok(item.pausable);
  queue.pause(item);
  await change(() => item.state === "paused");
  assert.deepEqual([queue.busy, queue.moving, item.sent], [true, false, 4 * MIB]);
  assert.equal(queue.summary().counts.paused, 1);
  assert.equal(server.asked.at(-1), "PATCH");

  there = atSecond();
  queue.resume(item);
  await there;
  assert.deepEqual(server.asked.slice(-2), ["HEAD", "PATCH"]);
  queue.pause(item);
  await change(() => item.state === "paused");
  queue.cancel(item);
  assert.deepEqual([item.state, dropped, queue.busy], ["cancelled", [`${COLLECTION}/a1`], false]);

  server.upload = null;
  there = atSecond();
  queue.retry(item);
  await there;
  queue.cancel(item);
  await change(() => item.state === "cancelled");
  assert.equal(server.asked.at(-1), "DELETE");
  assert.equal(dropped.length, 1); // the one who sent it has ended it
});
