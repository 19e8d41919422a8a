// The Worker: what the platform calls. Everything is made once an isolate, from its configuration.

import { createRegistry } from "./agents/registry.ts";
import { createApp, createRefusingApp } from "./app.ts";
import { createAuthenticate } from "./auth/authenticate.ts";
import { loadConfig } from "./config.ts";
import { execute } from "./operations/index.ts";
import { checkHomes, takeOverdueHomes } from "./store/homes.ts";
import { log } from "./telemetry/log.ts";

export { AgentWorkflow } from "./agents/workflow.ts";
export { HomeObject } from "./tasks/home.ts";

/** A home is poked when it is this much later than it said. */
const OVERDUE_MS = 120_000;
const POKES = 100;
/** One that does not report after it was poked is poked again after this time. */
const POKE_AGAIN_MS = 600_000;

type App = ReturnType<typeof createApp>;

let app: App | undefined;

function build(env: Env): App {
  const config = loadConfig(env);
  if (!config.ok) return createRefusingApp(config.error);
  const agents = createRegistry(config.value);
  if (!agents.ok) return createRefusingApp([agents.error]);
  const deps = { config: config.value, homes: env.HOMES, now: Date.now };
  return createApp({
    config: config.value,
    agents: agents.value,
    now: Date.now,
    authenticate: createAuthenticate(config.value, env.DB),
    execute: (name, call) => execute(deps, name, call),
    checkReady: () => checkReady(env),
  });
}

/** Reaches the object and the database that every request may need, and writes to neither. */
async function checkReady(env: Env): Promise<Record<string, string>> {
  const checks = {
    homes: env.HOMES.get(env.HOMES.idFromName("ready/0")).ping(),
    database: checkHomes(env.DB),
  };
  const states = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        await check;
        return [name, "ok"];
      } catch (error) {
        log("error", "not ready", { check: name, error });
        return [name, "unavailable"];
      }
    }),
  );
  return Object.fromEntries(states);
}

export default {
  fetch(request, env, ctx) {
    app ??= build(env);
    return app.fetch(request, env, ctx);
  },

  /** The cron: wakes homes whose alarm was lost. */
  async scheduled(_event, env) {
    const now = Date.now();
    const overdue = await takeOverdueHomes(env.DB, {
      before: now - OVERDUE_MS,
      again: now + POKE_AGAIN_MS,
      limit: POKES,
    });
    const pokes = overdue.map(async (id) => env.HOMES.get(env.HOMES.idFromString(id)).poke());
    for (const poke of await Promise.allSettled(pokes)) {
      if (poke.status === "rejected") log("error", "a home could not be woken", { error: poke.reason });
    }
  },
} satisfies ExportedHandler<Env>;
