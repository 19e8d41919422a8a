// Servers that are killed again and again under load, with kill -9 of the whole process group at random moments, and
// checked between the kills on one that is left alone.

import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { Ledger } from "./ledger.ts";
import type { Load } from "./load.ts";
import type { Random } from "./random.ts";
import { launchServer, type Server, startServer } from "./server.ts";

/** How often, unless KILLS says otherwise. */
export const kills = Number(process.env.KILLS ?? 30);
export const seed = Number(process.env.SEED ?? 1);

/** After so many kills everything so far is checked, so that a failure is found near its cause. */
const KILLS_A_CHECK = 10;

/** How long clients may read what a dead server has sent. */
const READ_REST_MS = 1_000;

export type Killing = {
  random: Random;
  ledger: Ledger;
  load: Load;
  stateDir: string;
  /** Of the server. */
  vars: Record<string, string>;
  /** Before each kill; `kill` counts from 1 in each round that ends with a check. */
  before?(kill: number): void;
  /** Adds a violation to the ledger for whatever this server has not kept of what its dead predecessors promised. */
  check(url: string): Promise<void>;
};

export async function killRepeatedly(killing: Killing): Promise<void> {
  const { random, ledger, load, stateDir, vars, before = () => {}, check } = killing;
  const options = { mode: "serve", stateDir, vars } as const;
  let server: Server | undefined;

  const checkAll = async () => {
    const { url, ...survivor } = await startServer(options);
    server = survivor;
    await load.finish(url);
    await check(url);
    await survivor.kill9();
    expect(ledger.violations, `The server said:\n${survivor.output().slice(-4_000)}`).toEqual([]);
    ledger.settle();
  };

  const kill = async (victim: Server) => {
    const from = Date.now();
    await victim.kill9();
    ledger.kills.push({ from, to: Date.now() });
  };

  const killUnderLoad = async (victim: Server, afterMs: number) => {
    const over = new AbortController();
    const life = { url: await victim.ready, ending: false, over: over.signal };
    const clients = load.run(life);
    await sleep(afterMs);
    life.ending = true;
    await kill(victim);
    await Promise.race([clients, sleep(READ_REST_MS)]);
    over.abort();
    await clients;
  };

  try {
    for (let count = 1; count <= kills; count++) {
      before(((count - 1) % KILLS_A_CHECK) + 1);
      server = launchServer(options);
      if (random.chance(0.1)) {
        // Some kills hit a server that is still starting.
        await sleep(random.whole(0, 4_000));
        await kill(server);
      } else {
        await killUnderLoad(server, random.whole(50, 3_000));
      }
      if (count % KILLS_A_CHECK === 0 || count === kills) await checkAll();
    }
  } finally {
    await server?.kill9();
  }
}
