// Drives tus-js-client against a real server. Reads {endpoint, path, mode} as JSON from argv; writes
// {url, content_location} as JSON. Modes: chunks, parallel, deferred, resume (aborts half-way first).
import { createReadStream, statSync } from "node:fs";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const { endpoint, path, mode } = JSON.parse(process.argv[2]);
const size = statSync(path).size;
let contentLocation = null;

function upload(options, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    // The length of a file is known; of a pipe it is not.
    const content = createReadStream(path);
    const source = mode === "deferred" ? content.pipe(new PassThrough()) : content;
    const one = new tus.Upload(source, {
      endpoint,
      metadata: { filename: "from-js.bin", filetype: "application/octet-stream" },
      retryDelays: [100, 500, 1000, 2000],
      onAfterResponse: (_, response) => {
        contentLocation = response.getHeader("Content-Location") ?? contentLocation;
      },
      onError: reject,
      onProgress: (sent) => onProgress(one, sent, resolve),
      onSuccess: () => resolve(one),
      ...options,
    });
    one.start();
  });
}

const ways = {
  chunks: () => upload({ chunkSize: 1_000_000 }),
  parallel: () => upload({ parallelUploads: 3, chunkSize: 2_000_000 }),
  deferred: () => upload({ chunkSize: 1_500_000, uploadLengthDeferred: true }),
  resume: async () => {
    let stopped = false;
    const first = await upload({ chunkSize: 1_000_000 }, (one, sent, stop) => {
      if (!stopped && sent > size / 2) {
        stopped = true;
        one.abort().then(() => stop(one));
      }
    });
    return upload({ chunkSize: 1_000_000, uploadUrl: first.url });
  },
};

const done = await ways[mode]();
console.log(JSON.stringify({ url: done.url, content_location: contentLocation }));
