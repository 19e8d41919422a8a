// kill -9 of the whole process group at random moments under load: nothing that was acknowledged is lost and
// nothing happens twice. `KILLS=300 SEED=7 npm run test:kill` kills more often, and otherwise.

import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { createRandom } from "./random.ts";
import { createStateDir, launchServer, removeStateDir, type Server, startServer } from "./server.ts";
import { verify, verifyList } from "./verify.ts";

const kills = Number(process.env.KILLS ?? 30);
const seed = Number(process.env.SEED ?? 1);

/** After so many kills everything so far is checked, so that a failure is found near its cause. */
const KILLS_A_CHECK = 10;

/** How long clients may read what a dead server has sent. */
const READ_REST_MS = 1_000;

const vars = { DEFAULT_AGENT: "conformance", STEP_MILLISECONDS: "30", JOB_WATCH_SECONDS: "1" };

test(`${kills} kills lose nothing and repeat nothing (seed ${seed})`, {
  timeout: kills * 60_000,
}, async () => {
  const random = createRandom(seed);
  const stateDir = await createStateDir();
  const options = { mode: "serve", stateDir, vars } as const;
  const ledger = new Ledger();
  const load = new Load(ledger, random);
  const total = { tasks: 0, jobs: 0, streams: 0, resumed: 0 };
  let server: Server | undefined;

  const check = async () => {
    const { url, ...survivor } = await startServer(options);
    server = survivor;
    await load.finish(url);
    await verify(url, ledger);
    await verifyList(url, ledger);
    await survivor.kill9();
    expect(ledger.violations, `The server said:\n${survivor.output().slice(-4_000)}`).toEqual([]);
    const tasks = [...ledger.tasks.values()];
    total.tasks += tasks.length;
    total.jobs += tasks.filter((task) => task.intent.becomes === "job").length;
    total.streams += ledger.watches.length;
    total.resumed += ledger.watches.filter((watch) => watch.resumed > 0).length;
    ledger.settle();
  };

  const killUnderLoad = async (victim: Server, afterMs: number) => {
    const over = new AbortController();
    const life = { url: await victim.ready, ending: false, over: over.signal };
    const clients = load.run(life);
    await sleep(afterMs);
    life.ending = true;
    ledger.kills.push(Date.now());
    await victim.kill9();
    await Promise.race([clients, sleep(READ_REST_MS)]);
    over.abort();
    await clients;
  };

  try {
    for (let kill = 1; kill <= kills; kill++) {
      server = launchServer(options);
      if (random.chance(0.1)) {
        // Some kills hit a server that is still starting.
        await sleep(random.whole(0, 4_000));
        ledger.kills.push(Date.now());
        await server.kill9();
      } else {
        await killUnderLoad(server, random.whole(50, 3_000));
      }
      if (kill % KILLS_A_CHECK === 0 || kill === kills) await check();
    }
  } finally {
    await server?.kill9();
    await removeStateDir(stateDir);
  }
  console.log(`${kills} kills:`, { ...total, repeated: load.repeated });
  // A run in which nothing was at stake proves nothing.
  expect(total.tasks).toBeGreaterThanOrEqual(kills * 5);
  expect(total.jobs).toBeGreaterThanOrEqual(kills / 10);
  expect(total.resumed).toBeGreaterThanOrEqual(kills / 10);
  expect(load.repeated).toBeGreaterThanOrEqual(kills / 10);
});
