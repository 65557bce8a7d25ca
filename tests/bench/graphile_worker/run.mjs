// Jobs a second of graphile-worker: workers of one process do jobs that do nothing, each claimed and completed by a
// statement of its own (its default), until the queue is empty.
//
//   node run.mjs postgres://me@/speed?host=/run/postgresql 2000 1,4,16
//
// Prints one JSON line: its version, and jobs a second for each number of workers.

import { readFile } from "node:fs/promises";
import { Logger, makeWorkerUtils, runOnce } from "graphile-worker";

const [connectionString, count, numbers] = process.argv.slice(2);
const jobs = Number(count);
const quiet = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});
const utils = await makeWorkerUtils({ connectionString, logger: quiet });
await utils.migrate();

const rates = [];
for (const workers of numbers.split(",").map(Number)) {
  const wanted = Array.from({ length: jobs }, (_, n) => ({ identifier: "nothing", payload: { n } }));
  await utils.addJobs(wanted);
  // As before each measurement of ours.
  await utils.withPgClient((client) => client.query("vacuum analyze"));
  let done = 0;
  const begun = performance.now();
  await runOnce({
    connectionString,
    concurrency: workers,
    maxPoolSize: workers + 1,
    noHandleSignals: true,
    logger: quiet,
    taskList: { nothing: async () => void done++ },
  });
  const seconds = (performance.now() - begun) / 1000;
  if (done !== jobs) throw new Error(`${done} of ${jobs} jobs were done`);
  rates.push(jobs / seconds);
}
await utils.release();
const manifest = new URL("./node_modules/graphile-worker/package.json", import.meta.url);
const { version } = JSON.parse(await readFile(manifest, "utf8"));
console.log(JSON.stringify({ version, rates }));
