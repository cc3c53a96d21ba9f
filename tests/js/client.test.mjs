import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError, FilesApi } from "../../datasette_files/static/api.js";
import { NotCompleted, storeError, uploadFile } from "../../datasette_files/static/upload/client.js";

const RECORD = { id: "df-1" };
const INSTRUCTIONS = { ok: true, upload_token: "tok_1" };
const FILE = new Blob(["hello"]);

/** An API that gives these answers, one after the other, and what it was asked. */
function api(...answers) {
  const asked = [];
  const fetcher = async (url, { body }) => {
    asked.push([url.split("/").at(-1), body && JSON.parse(body)]);
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    const [status, content] = answer;
    return new Response(typeof content === "string" ? content : JSON.stringify(content), { status });
  };
  return { api: new FilesApi("/prefix/", fetcher), asked };
}

const ok = (body) => [200, { ok: true, ...body }];
const error = (status, code) => [status, { ok: false, error: `about ${code}`, status, code }];
const options = { send: async () => {}, sleep: async () => {} };
const steps = (asked) => asked.map(([step]) => step).join(" ");

test("prepare, send, complete", async () => {
  const { api: files, asked } = api(ok(INSTRUCTIONS), ok({ file: RECORD }));
  const seen = [];
  const record = await uploadFile(files, "docs", FILE, {
    ...options,
    onStep: (step) => seen.push(step),
    send: async (instructions) => assert.equal(instructions.upload_token, "tok_1"),
  });
  assert.deepEqual(record, RECORD);
  assert.deepEqual(seen, ["checking", "preparing", "sending", "finishing"]);
  assert.equal(steps(asked), "prepare complete");
});

test("by a link every upload goes below it, and its file is not told", async () => {
  const asked = [];
  const answers = [ok(INSTRUCTIONS), ok({})];
  const fetcher = async (url) => {
    asked.push(url);
    const [status, content] = answers.shift();
    return new Response(JSON.stringify(content), { status });
  };
  const files = new FilesApi("/prefix/", fetcher, "a-token");
  const { id, url } = await uploadFile(files, "docs", FILE, options);
  assert.deepEqual([id, url], ["", ""]);
  assert.deepEqual(asked, ["prepare", "complete"].map((step) => `/prefix/-/files/u/a-token/-/${step}`));
});

test("complete is tried again, where time may help, a few times", async () => {
  const down = error(503, "storage_unavailable");
  const mended = api(ok(INSTRUCTIONS), down, new TypeError("no net"), ok({ file: RECORD }));
  assert.deepEqual(await uploadFile(mended.api, "docs", FILE, options), RECORD);
  const broken = api(ok(INSTRUCTIONS), down, down, down);
  await assert.rejects(uploadFile(broken.api, "docs", FILE, options), NotCompleted);
  const full = api(ok(INSTRUCTIONS), error(507, "no_space"));
  await assert.rejects(uploadFile(full.api, "docs", FILE, options), { code: "no_space" });
});

test("a server that starts anew costs nobody a file: prepare is tried again", async () => {
  const down = new TypeError("refused");
  const back = api(down, [429, "<h1>Slowly</h1>"], ok(INSTRUCTIONS), ok({ file: RECORD }));
  assert.deepEqual(await uploadFile(back.api, "docs", FILE, options), RECORD);
  assert.equal(steps(back.asked), "prepare prepare prepare complete");
  const away = error(503, "storage_unavailable");
  const gone = api(away, away, away);
  await assert.rejects(uploadFile(gone.api, "docs", FILE, options), { status: 503 });
  const denied = api(error(403, "permission_denied"));
  await assert.rejects(uploadFile(denied.api, "docs", FILE, options), { status: 403 });
});

test("an earlier try is completed, or forgotten when the server has forgotten it", async () => {
  const again = { ...options, token: "tok_0" };
  const there = api(ok({ file: RECORD }));
  assert.deepEqual(await uploadFile(there.api, "docs", FILE, again), RECORD);
  assert.deepEqual(there.asked, [["complete", { upload_token: "tok_0" }]]);
  const gone = api(error(410, "expired"), ok(INSTRUCTIONS), ok({ file: RECORD }));
  assert.deepEqual(await uploadFile(gone.api, "docs", FILE, again), RECORD);
  assert.equal(steps(gone.asked), "complete prepare complete");
});

test("answers that are not the API's have a code by their status", async () => {
  const code = (answer) => api(answer).api.prepare("docs", {}).catch((reason) => reason.code);
  assert.equal(await code([413, "<html>"]), "too_large");
  assert.equal(await code([401, "<html>"]), "permission_denied");
  assert.equal(await code([409, ""]), "conflict");
  assert.equal(await code([410, ""]), "expired");
  assert.equal(await code([415, ""]), "bad_type");
  assert.equal(await code([429, ""]), "busy");
  assert.equal(await code([502, ""]), "storage_unavailable");
  assert.equal(await code([500, "{}"]), "unexpected");
  assert.equal(await code([200, "<html>Sign in</html>"]), "unexpected");
  assert.equal(await code(new TypeError("no net")), "network");
  assert.equal(await code(error(422, "checksum_mismatch")), "checksum_mismatch");
  assert.ok(ApiError.of(400, "null") instanceof ApiError);
});

test("what a storage answers in XML becomes one of our codes", () => {
  const answer = (code, message = "") =>
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  const told = (status, text) => {
    const { code, message, status: kept } = storeError(status, text);
    assert.equal(kept, status);
    return [code, message];
  };
  assert.equal(told(400, answer("EntityTooLarge"))[0], "too_large");
  assert.equal(told(400, answer("EntityTooSmall"))[0], "checksum_mismatch");
  assert.equal(told(503, answer("SlowDown"))[0], "storage_unavailable");
  const policy = "Invalid according to Policy: Policy expired.";
  assert.deepEqual(told(403, answer("AccessDenied", policy)), ["expired", ""]);
  const denied = ["storage_error", "The storage answered 403 AccessDenied."];
  assert.deepEqual(told(403, answer("AccessDenied", "<b>no</b>")), denied);
  const unknown = ["storage_error", "The storage answered 418."];
  assert.deepEqual(told(418, '{"code": "too_large"}'), unknown);
  assert.deepEqual(told(418, answer("<script>")), unknown);
  const inherited = ["storage_error", "The storage answered 400 constructor."];
  assert.deepEqual(told(400, answer("constructor")), inherited);
});

test("Datasette's own refusal of another site is told as that", async () => {
  const pages = {
    "<p>Reason: Origin &#39;http://a&#39; does not match Host &#39;b&#39;</p>": "other_site",
    "<p>Reason: Sec-Fetch-Site was &#39;cross-site&#39;, expected</p>": "other_site",
    "<h1>403 Forbidden</h1>": "permission_denied",
  };
  for (const [page, code] of Object.entries(pages)) {
    assert.equal(ApiError.of(403, page).code, code);
  }
});

test("bytes that break off are sent again with the same upload, and a storage elsewhere once", async () => {
  const lost = new ApiError("network", "gone");
  const sending = async (url, ...errors) => {
    const prepared = ok({ ...INSTRUCTIONS, upload_url: url });
    const held = errors.length > 2 && errors.at(-1).code === "conflict";
    const { api: files, asked } = api(prepared, ...(held ? [prepared] : []), ok({ file: RECORD }));
    const seen = [];
    let tries = 0;
    const send = async () => {
      tries += 1;
      const error = errors.shift();
      if (error) throw error;
    };
    const sent = { ...options, send, onStep: (step) => seen.push(step) };
    const outcome = await uploadFile(files, "docs", FILE, sent).catch((error) => error);
    return { outcome, tries, seen, asked: steps(asked) };
  };
  // The server may still hold the broken try.
  const own = await sending("/-/files/upload/docs/-/upload", lost, new ApiError("conflict", "held"));
  assert.deepEqual(own.outcome, RECORD);
  assert.equal(own.asked, "prepare complete");
  const again = ["interrupted", "sending"];
  assert.deepEqual(own.seen, ["checking", "preparing", "sending", ...again, ...again, "finishing"]);
  // That of a server that died is held for long, so another one is prepared.
  const conflict = new ApiError("conflict", "held");
  const dead = await sending("/-/files/upload/docs/-/upload", lost, conflict, conflict);
  assert.deepEqual([dead.outcome, dead.asked], [RECORD, "prepare prepare complete"]);
  const elsewhere = await sending("https://bucket.test/", lost, lost, lost);
  assert.deepEqual([elsewhere.outcome, elsewhere.tries], [lost, 2]);
  const refused = await sending("/-/files/upload/docs/-/upload", new ApiError("conflict", "held"));
  assert.deepEqual([refused.outcome.code, refused.tries], ["conflict", 1]);
});

/** A source whose bytes the site takes: the first file is prepared, small ones after it go in one request. */
async function receiving(...answers) {
  const first = [ok({ ...INSTRUCTIONS, upload_fields: { upload_token: "tok_1" } }), ok({ file: RECORD })];
  answers.unshift(...first);
  const asked = [];
  const fetcher = async (url, request) => {
    asked.push({ url, ...request });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    const [status, content] = answer;
    return new Response(typeof content === "string" ? content : JSON.stringify(content), { status });
  };
  const files = new FilesApi("/prefix/", fetcher);
  await uploadFile(files, "docs", FILE, options);
  asked.length = 0;
  return { files, asked, keys: () => asked.map(({ headers }) => headers["Idempotency-Key"]) };
}

const small = () => new File(["hello"], "a b#.txt", { type: "text/plain" });
const lost = new TypeError("no net");
const held = error(409, "conflict");

test("a small file goes in one request, once the site is known to take the bytes", async () => {
  const { files, asked } = await receiving(ok({ file: RECORD, duplicate_of: { id: "df-0" } }));
  const seen = [];
  const record = await uploadFile(files, "docs", small(), {
    ...options,
    folder: "2026/ä",
    onStep: (step) => seen.push(step),
  });
  assert.deepEqual(record, { ...RECORD, duplicate_of: { id: "df-0" } });
  assert.deepEqual(seen, ["checking", "finishing"]);
  const [{ method, url, headers, body, redirect }] = asked;
  assert.deepEqual([method, redirect, new TextDecoder().decode(body)], ["PUT", "manual", "hello"]);
  assert.equal(url, "/prefix/-/files/upload/docs/a%20b%23.txt?duplicate_of=1&folder=2026%2F%C3%A4");
  assert.equal(headers["Content-Type"], "text/plain");
  assert.equal(headers["Repr-Digest"], "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:");
  assert.match(headers["Idempotency-Key"], /^[0-9a-f]{40}$/);
});

test("a small file that is sent again has the same key, also in a later try", async () => {
  const { files, keys } = await receiving(lost, ok({ file: RECORD }), ...Array(5).fill(lost), ok({ file: RECORD }));
  await uploadFile(files, "docs", small(), options);
  const file = small();
  await assert.rejects(uploadFile(files, "docs", file, options), { code: "network" });
  assert.deepEqual(await uploadFile(files, "docs", file, options), RECORD);
  const sent = keys();
  assert.deepEqual([sent.length, new Set(sent.slice(0, 2)).size, new Set(sent.slice(2)).size], [8, 1, 1]);
  assert.notEqual(sent[0], sent[2]);
});

test("a small file keeps its key as long as it may be there", async () => {
  // A proxy that gave up while the server went on; then somebody who tries again.
  const gone = [504, "<h1>Gateway timeout</h1>"];
  const { files, keys } = await receiving(gone, held, held, held, held, ok({ file: RECORD }));
  const file = small();
  await assert.rejects(uploadFile(files, "docs", file, options), { code: "conflict" });
  assert.deepEqual(await uploadFile(files, "docs", file, options), RECORD);
  assert.equal(new Set(keys()).size, 1);
  for (const unsure of [[524, ""], [500, "<h1>Error</h1>"], [200, "<h1>Portal</h1>"], error(507, "no_space")]) {
    const scene = await receiving(unsure, ok({ file: RECORD }));
    await assert.rejects(uploadFile(scene.files, "docs", file, options));
    await uploadFile(scene.files, "docs", file, options);
    assert.equal(new Set(scene.keys()).size, 1);
  }
  for (const sure of [error(400, "invalid"), error(404, "not_found")]) {
    const scene = await receiving(sure, ok({ file: RECORD }));
    await assert.rejects(uploadFile(scene.files, "docs", file, options));
    await uploadFile(scene.files, "docs", file, options);
    assert.equal(new Set(scene.keys()).size, 2);
  }
});

test("a small file that is cancelled while it may be there does not count as cancelled", async () => {
  const { files } = await receiving(lost);
  const controller = new AbortController();
  const sleep = async (_, signal) => {
    controller.abort();
    signal.throwIfAborted();
  };
  const cancelled = uploadFile(files, "docs", small(), { ...options, sleep, signal: controller.signal });
  await assert.rejects(cancelled, { code: "network", message: /may be stored/ });
});

test("where no such request passes, small files are prepared", async () => {
  for (const barred of [403, 405, 414, 501].map((status) => [status, "<h1>Refused</h1>"])) {
    const prepared = () => [ok(INSTRUCTIONS), ok({ file: RECORD })];
    const { files, asked } = await receiving(barred, ...prepared(), ...prepared());
    await uploadFile(files, "docs", small(), options);
    await uploadFile(files, "docs", small(), options);
    assert.deepEqual(asked.map(({ method }) => method), ["PUT", "POST", "POST", "POST", "POST"]);
  }
  const unsure = await receiving(lost, [403, "<h1>Blocked</h1>"]);
  await assert.rejects(uploadFile(unsure.files, "docs", small(), options), { status: 403 });
  assert.equal(unsure.asked.length, 2);
  const { files } = await receiving(error(403, "permission_denied"));
  await assert.rejects(uploadFile(files, "docs", small(), options), { code: "permission_denied" });
  assert.ok(files.takesWhole);
});

test("a file for a column, a larger one, and one by a link are prepared", async () => {
  const column = { database: "d", table: "t", column: "c" };
  const large = new File([new Uint8Array(256 * 1024 + 1)], "b.bin");
  for (const [file, more] of [[small(), { column }], [large, {}], [small(), { folder: "漢".repeat(500) }]]) {
    const { api: files, asked } = api(ok(INSTRUCTIONS), ok({ file: RECORD }));
    files.receives.add("docs");
    await uploadFile(files, "docs", file, { ...options, ...more });
    assert.equal(steps(asked), "prepare complete");
  }
  assert.equal(new FilesApi("/", fetch, "a-token").wholeUpload("docs", "a", {}), null);
});
