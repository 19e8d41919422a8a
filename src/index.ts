// The Worker: what the platform calls. Everything is made once an isolate, from its configuration.

import { createRegistry } from "./agents/registry.ts";
import { createApp, createRefusingApp } from "./app.ts";
import { createAuthenticate } from "./auth/authenticate.ts";
import { createRequireOperator } from "./auth/operator.ts";
import { loadConfig } from "./config.ts";
import { consumeDeadLetters, consumeDoorbells } from "./delivery/doorbell.ts";
import { parseKeyRing } from "./keys/ring.ts";
import { parseSigningKeys, publicJwks } from "./keys/signing-keys.ts";
import { execute } from "./operations/index.ts";
import { saveDeadLetters } from "./store/dead-letters.ts";
import { checkHomes, takeOverdueHomes } from "./store/homes.ts";
import { log } from "./telemetry/log.ts";
import { metricKey } from "./telemetry/metrics.ts";

export { AgentWorkflow } from "./agents/workflow.ts";
export { EndpointObject } from "./delivery/endpoint.ts";
export { LimitsObject } from "./delivery/limits.ts";
export { HomeObject } from "./tasks/home.ts";
export { MetricsObject } from "./telemetry/metrics-object.ts";

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
  const ring = parseKeyRing(config.value.encryptionKeys);
  if (!ring.ok) return createRefusingApp([ring.error]);
  const signingKeys = parseSigningKeys(config.value.signingKeys);
  if (!signingKeys.ok) return createRefusingApp([signingKeys.error]);
  const deps = {
    config: config.value,
    homes: env.HOMES,
    ring: ring.value,
    challenge: async (endpoint: string, url: string) =>
      (await endpointOf(env, endpoint).challengeNow(url)).ok,
    now: Date.now,
  };
  return createApp({
    config: config.value,
    agents: agents.value,
    now: Date.now,
    authenticate: createAuthenticate(config.value, env.DB),
    execute: (name, call) => execute(deps, name, call),
    checkReady: () => checkReady(env),
    requireOperator: createRequireOperator(config.value.adminKey),
    jwks: publicJwks(signingKeys.value),
    metrics: () => metricsOf(env).read(),
  });
}

function metricsOf(env: Env) {
  return env.METRICS.get(env.METRICS.idFromName("all"));
}

/** Fetches from a home what died there, and tells it when D1 has it. */
async function fileDeadLetters(env: Env, home: string, ids: string[]): Promise<void> {
  const stub = env.HOMES.get(env.HOMES.idFromString(home));
  const letters = await stub.deadLetters(ids);
  if (letters.length > 0) await saveDeadLetters(env.DB, letters);
  await stub.deadFiled(ids);
}

function endpointOf(env: Env, name: string) {
  return env.ENDPOINTS.get(env.ENDPOINTS.idFromName(name));
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

  /** Doorbells, and what has to do with dead letters: see the queues in wrangler.toml. */
  async queue(batch, env) {
    const ring = (endpoint: string, home: string) => endpointOf(env, endpoint).ring(home);
    if (!batch.queue.includes("dead-letters")) return consumeDoorbells(batch.messages, ring);
    await consumeDeadLetters(batch.messages, {
      file: (home, ids) => fileDeadLetters(env, home, ids),
      ringLater: async (doorbell, delaySeconds) =>
        void (await env.DELIVERIES.send(doorbell, { delaySeconds })),
      countDoorbells: async (count) => {
        const counters = { [metricKey("a2a_webhook_doorbells_failed_total")]: count };
        await metricsOf(env).add({ source: "", number: 0, counters, observations: {}, gauges: {} });
      },
    });
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
