// The whole server with other settings than those of this test run: the real app, operations, homes and D1.

import { env } from "cloudflare:test";
import { createRegistry } from "../../src/agents/registry.ts";
import { type AppDeps, createApp } from "../../src/app.ts";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { createRequireOperator } from "../../src/auth/operator.ts";
import type { Config } from "../../src/config.ts";
import { execute } from "../../src/operations/index.ts";
import { configWith, keyDeps } from "./operations.ts";

export type Serve = (request: Request) => Promise<Response>;

/** Answers requests as a deployment with these settings would. */
export function serveWith(settings: Partial<Config>, deps: Partial<AppDeps> = {}): Serve {
  const config = configWith(settings);
  const agents = createRegistry(config);
  if (!agents.ok) throw new Error(agents.error);
  const { authenticate, sessions } = createAuthentication({ config, db: env.DB });
  const keys = keyDeps(config);
  const app = createApp({
    config,
    signCard: keys.signCard,
    agents: agents.value,
    now: Date.now,
    authenticate,
    sessions,
    execute: (name, call) => execute({ ...keys, config, homes: env.HOMES, now: Date.now }, name, call),
    checkReady: async () => ({}),
    requireOperator: createRequireOperator({ adminKey: config.adminKey, authenticate }),
    jwks: { keys: [] },
    metrics: async () => "",
    admin: async () => new Response(null, { status: 404 }),
    ...deps,
  });
  return async (request) => app.fetch(request);
}
