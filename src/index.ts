// The Worker: what the platform calls. Everything is made once an isolate, from its configuration.

import { waitUntil } from "cloudflare:workers";
import { createAdmin } from "./admin/admin.ts";
import type { EndpointOperator } from "./admin/deps.ts";
import { createRegistry } from "./agents/registry.ts";
import { createApp, createRefusingApp } from "./app.ts";
import { ADMIN_CHAIN } from "./audit/admin-chain.ts";
import { createRefusals, toNetwork } from "./audit/refusals.ts";
import { addressOf } from "./auth/address.ts";
import { createAuthentication } from "./auth/authenticate.ts";
import type { Caller } from "./auth/caller.ts";
import { createRequireOperator } from "./auth/operator.ts";
import { logRefusal } from "./auth/refusal.ts";
import { createStrangers } from "./auth/strangers.ts";
import { type BackgroundDeps, consumeDead, consumeDeliveries, type Home, runCron } from "./background.ts";
import { type Config, loadConfig } from "./config.ts";
import { toMessage } from "./delivery/exchange.ts";
import { parseKeyRing } from "./keys/ring.ts";
import { parseSigningKeys, publicJwks } from "./keys/signing-keys.ts";
import { createCardSigner } from "./operations/card-signatures.ts";
import { createFlags } from "./operations/flags.ts";
import { execute } from "./operations/index.ts";
import { A2AError, type Failure } from "./protocol/errors.ts";
import { checkHomes } from "./store/homes.ts";
import { log } from "./telemetry/log.ts";
import { metricKey } from "./telemetry/metrics.ts";
import { createTally } from "./telemetry/tally.ts";

export { AgentWorkflow } from "./agents/workflow.ts";
export { AuditObject } from "./audit/audit-object.ts";
export { EndpointObject } from "./delivery/endpoint.ts";
export { LimitsObject } from "./delivery/limits.ts";
export { HomeObject } from "./tasks/home.ts";
export { MetricsObject } from "./telemetry/metrics-object.ts";

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
  const signCard = createCardSigner(signingKeys.value, config.value);
  const tally = createTally({
    count: (delta) => metricsOf(env).add(delta),
    waitUntil,
    sleep: (ms) => scheduler.wait(ms),
  });
  const refusals = createRefusals({
    send: (counts) => auditOf(env).refused(counts),
    waitUntil,
    sleep: (ms) => scheduler.wait(ms),
  });
  const strangers = createStrangers({
    guesses: config.value.addressGuesses,
    failuresPerMinute: config.value.addressFailuresPerMinute,
    now: Date.now,
    counted: (limit) => tally.add(metricKey("a2a_refused_total", { limit })),
  });
  const { authenticate, sessions } = createAuthentication({
    config: config.value,
    db: env.DB,
    onRefusal: (refusal, request) => {
      logRefusal(refusal);
      const who = toNetwork(addressOf(request));
      refusals.add({ kind: "authentication.refused", who, reason: refusal.reason });
    },
    strangers,
  });
  const deny = ({ actor }: Pick<Caller, "actor">, scope: string) =>
    refusals.add({ kind: "authorization.refused", who: actor, reason: scope });
  const requireOperator = createRequireOperator({
    adminKey: config.value.adminKey,
    authenticate,
    strangers,
    onDenied: deny,
  });
  const flags = createFlags({ config: config.value, db: env.DB, now: Date.now, waitUntil });
  const deps = {
    get config() {
      return flags.config;
    },
    homes: env.HOMES,
    ring: ring.value,
    challenge: async (endpoint: string, url: string) =>
      (await endpointOf(env, endpoint).challengeNow(url)).ok,
    signCard,
    now: Date.now,
  };
  return createApp({
    get config() {
      return flags.config;
    },
    agents: agents.value,
    signCard,
    now: Date.now,
    authenticate,
    sessions: {
      ...sessions,
      async open(caller, wish) {
        const opened = await sessions.open(caller, wish);
        const scope = opened.ok ? undefined : scopeOf(opened.error);
        if (scope !== undefined) deny(caller, scope);
        return opened;
      },
    },
    execute: async (name, call) => {
      try {
        return await execute(deps, name, call);
      } catch (error) {
        const scope = missingScope(error);
        if (scope !== undefined) deny(call.caller, scope);
        throw error;
      }
    },
    checkReady: () => checkReady(env),
    requireOperator,
    jwks: publicJwks(signingKeys.value),
    metrics: () => metricsOf(env).read(),
    admin: createAdmin({
      ...backgroundOf(env, config.value),
      ring: ring.value,
      requireOperator,
      flagsChanged: flags.changed,
      forgetSessions: sessions.forget,
      endpointAt: (name) => endpointOf(env, name) as unknown as EndpointOperator,
      homeNamed: (name) => env.HOMES.get(env.HOMES.idFromName(name)) as unknown as Home,
      // A stub belongs to the request that it was made in.
      audit: {
        record: (event) => auditOf(env).record(event),
        auditTail: (n) => auditOf(env).auditTail(n),
      },
    }),
  });
}

/** Which scope a caller was refused for; undefined: it was refused for something else. */
function missingScope(error: unknown): string | undefined {
  return error instanceof A2AError ? scopeOf(error.failure) : undefined;
}

function scopeOf({ reason, metadata }: Failure): string | undefined {
  return reason === "PERMISSION_DENIED" ? (metadata?.scope ?? "unknown") : undefined;
}

function backgroundOf(env: Env, config: Config): BackgroundDeps {
  return {
    config,
    db: env.DB,
    homeAt: (id) => env.HOMES.get(env.HOMES.idFromString(id)) as unknown as Home,
    endpointAt: (name) => endpointOf(env, name),
    wakeJob: (message) => env.DELIVERIES.send(toMessage(message)),
    ringLater: async (doorbell, delaySeconds) => {
      await env.DELIVERIES.send(toMessage(doorbell), { delaySeconds });
    },
    count: (delta) => metricsOf(env).add(delta),
    recordAudit: (event) => auditOf(env).record(event),
    collectAudit: () => auditOf(env).collect(),
    now: Date.now,
  };
}

function endpointOf(env: Env, name: string) {
  return env.ENDPOINTS.get(env.ENDPOINTS.idFromName(name));
}

function auditOf(env: Env) {
  return env.AUDIT.get(env.AUDIT.idFromName(ADMIN_CHAIN));
}

function metricsOf(env: Env) {
  return env.METRICS.get(env.METRICS.idFromName("all"));
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

/** For what has no client to refuse: nothing is done under a configuration that is wrong. */
function configOf(env: Env): Config {
  const config = loadConfig(env);
  if (!config.ok) throw new Error(config.error.join("; "));
  return config.value;
}

export default {
  fetch(request, env, ctx) {
    app ??= build(env);
    return app.fetch(request, env, ctx);
  },

  /** See the queues in wrangler.toml. */
  async queue(batch, env) {
    const deps = backgroundOf(env, configOf(env));
    const consume = batch.queue.includes("dead-letters") ? consumeDead : consumeDeliveries;
    await consume(batch.messages, deps);
  },

  async scheduled(_event, env) {
    await runCron(backgroundOf(env, configOf(env)));
  },
} satisfies ExportedHandler<Env>;
