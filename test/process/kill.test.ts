// kill -9 of the whole process group at random moments under load: nothing that was acknowledged is lost and
// nothing happens twice. `KILLS=300 SEED=7 npm run test:kill` kills more often, and otherwise.

import { expect, test } from "vitest";
import { killRepeatedly, kills, seed } from "./killing.ts";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { createRandom } from "./random.ts";
import { createStateDir, removeStateDir } from "./server.ts";
import { verify, verifyList } from "./verify.ts";

const vars = { DEFAULT_AGENT: "conformance", STEP_MILLISECONDS: "30", JOB_WATCH_SECONDS: "1" };

test(`${kills} kills lose nothing and repeat nothing (seed ${seed})`, {
  timeout: kills * 60_000,
}, async () => {
  const random = createRandom(seed);
  const stateDir = await createStateDir();
  const ledger = new Ledger();
  const load = new Load(ledger, random);
  const total = { tasks: 0, jobs: 0, streams: 0, resumed: 0 };

  const check = async (url: string) => {
    await verify(url, ledger);
    await verifyList(url, ledger);
    const tasks = [...ledger.tasks.values()];
    total.tasks += tasks.length;
    total.jobs += tasks.filter((task) => task.intent.becomes === "job").length;
    total.streams += ledger.watches.length;
    total.resumed += ledger.watches.filter((watch) => watch.resumed > 0).length;
  };

  try {
    await killRepeatedly({ random, ledger, load, stateDir, vars, check });
  } finally {
    await removeStateDir(stateDir);
  }
  console.log(`${kills} kills:`, { ...total, repeated: load.repeated });
  // A run in which nothing was at stake proves nothing.
  expect(total.tasks).toBeGreaterThanOrEqual(kills * 5);
  expect(total.jobs).toBeGreaterThanOrEqual(kills / 10);
  expect(total.resumed).toBeGreaterThanOrEqual(kills / 10);
  expect(load.repeated).toBeGreaterThanOrEqual(kills / 10);
});
