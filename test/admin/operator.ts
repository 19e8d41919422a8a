// An operator and what the API stands on: the real D1, and homes and endpoints that do as a test says and remember
// what they were asked. Every answer is checked against the OpenAPI document that the API itself serves.

import { env } from "cloudflare:test";
import { expect, vi } from "vitest";
import { fromJSONSchema } from "zod";
import { adminRoutes, createAdmin } from "../../src/admin/admin.ts";
import type { AdminDeps, EndpointOperator, HomeOperator, RetryJobMessage } from "../../src/admin/deps.ts";
import { EMPTY_TAIL } from "../../src/audit/chain.ts";
import type { AuditEvent } from "../../src/audit/entry.ts";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { createRequireOperator } from "../../src/auth/operator.ts";
import type { EndpointHealth } from "../../src/delivery/endpoint.ts";
import type { DeliveryHealth } from "../../src/delivery/exchange.ts";
import { parseKeyRing } from "../../src/keys/ring.ts";
import { ok } from "../../src/lib/result.ts";
import { NOTHING_ERASED } from "../../src/tasks/erase.ts";
import { toFailure } from "../../src/transports/failure.ts";
import type { toErrorBody } from "../../src/transports/rest/errors.ts";
import { failed } from "../../src/transports/rest/handler.ts";
import { configWith } from "../support/operations.ts";

export const ORIGIN = "https://agents.test";

/** Who acts on the rows of these tests. */
export const BY = { owner: "open::owner", actor: "operator::admin-key" };

const TABLES = [
  ...["attempts", "ships", "attempt_hours", "endpoint_hours"],
  ...["push_configs", "endpoints", "dead_letters", "retry_jobs"],
  ...["api_keys", "roles", "sessions", "owners", "homes", "flags", "erasures"],
];

/** Empties the tables, and keeps out of the output of tests what is logged of each request. */
export async function startAfresh(): Promise<void> {
  vi.spyOn(console, "info").mockImplementation(() => {});
  await env.DB.batch(TABLES.map((table) => env.DB.prepare(`DELETE FROM ${table}`)));
}

export const health: DeliveryHealth = {
  state: "active",
  reason: null,
  stateAt: 1_000,
  pending: 2,
  oldestPendingAt: 2_000,
  nextAttemptAt: 3_000,
  attempt: 1,
  delivered: 7,
  dead: 1,
  failingSince: 1_500,
  lastAttemptAt: 2_500,
  lastStatus: 503,
  lastError: null,
};

export const endpointHealth: EndpointHealth = {
  endpoint: "open::owner|https://hooks.example",
  origin: "https://hooks.example",
  pausedAt: null,
  validatedUntil: 9_000,
  challenge: { failedAt: 500, error: "timeout" },
  lastError: { at: 400, status: 500, error: null },
  inFlight: 1,
  queued: 0,
  targets: [
    {
      target: "https://hooks.example/a",
      breaker: "open",
      holdUntil: 5_000,
      holdReason: "breaker_open",
      tokensLeft: 3,
    },
  ],
};

/** What was asked of an object: the method and its arguments. */
export type Asked = [method: string, ...args: unknown[]];

function recorded<T extends object>(methods: T, asked: Asked[]): T {
  const entries = Object.entries(methods).map(([name, method]) => [
    name,
    (...args: unknown[]) => {
      asked.push([name, ...args]);
      return method(...args);
    },
  ]);
  return Object.fromEntries(entries) as T;
}

const quietHome: HomeOperator = {
  exportPage: async () => ({ items: [], next: undefined }),
  erase: async () => NOTHING_ERASED,
  deadLetters: async () => [],
  deadFiled: async () => [],
  retryDead: async (letters) => ok({ accepted: letters.length, gone: [] }),
  replay: async () => ok({ notifications: 3 }),
  setDelivery: async ({ state }) => ok({ ...health, state }),
  deliveryHealth: async () => ok(health),
  sealedSecrets: async () => ok({ sealed: null }),
  rotateSecret: async () => ok(undefined),
  auditTail: async () => EMPTY_TAIL,
};

const quietEndpoint: EndpointOperator = {
  health: async () => endpointHealth,
  pause: async () => {},
  resume: async () => {},
  erase: async () => {},
  challengeNow: async () => ok({ validatedUntil: 8_000 }),
};

export type OperatorOptions = {
  home?: Partial<HomeOperator>;
  endpoint?: Partial<EndpointOperator>;
} & Partial<Pick<AdminDeps, "now" | "wakeJob" | "config" | "flagsChanged" | "audit">>;

type Verb = "GET" | "POST" | "DELETE";

export type Answer = { status: number; body: unknown; headers: Headers };

/** The API as an operator uses it. */
export function createOperator({ home, endpoint, ...options }: OperatorOptions = {}) {
  const config = configWith();
  const ring = parseKeyRing(config.encryptionKeys);
  if (!ring.ok) throw new Error(ring.error);
  const askedHomes: Record<string, Asked[]> = {};
  const askedEndpoints: Record<string, Asked[]> = {};
  const woken: RetryJobMessage[] = [];
  const audited: AuditEvent[] = [];
  const askedOf = (all: Record<string, Asked[]>, name: string): Asked[] => {
    all[name] ??= [];
    return all[name];
  };
  const { authenticate, sessions } = createAuthentication({
    config: { ...config, authModes: ["api-key"] },
    db: env.DB,
  });
  const deps: AdminDeps = {
    db: env.DB,
    config,
    ring: ring.value,
    requireOperator: createRequireOperator({ adminKey: config.adminKey, authenticate }),
    forgetSessions: sessions.forget,
    flagsChanged: () => {},
    homeAt: (id) => recorded({ ...quietHome, ...home }, askedOf(askedHomes, id)),
    endpointAt: (name) => recorded({ ...quietEndpoint, ...endpoint }, askedOf(askedEndpoints, name)),
    homeNamed: (name) => recorded({ ...quietHome, ...home }, askedOf(askedHomes, name)),
    wakeJob: async (message) => woken.push(message),
    audit: {
      async record(event) {
        audited.push(event);
      },
      auditTail: async () => EMPTY_TAIL,
    },
    now: Date.now,
    ...options,
  };
  const admin = createAdmin(deps);

  /** As the app does it. */
  async function send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${config.adminKey}`, ...(init.headers as object) };
    const request = new Request(`${ORIGIN}${path}`, { ...init, headers });
    try {
      const answer = await admin(request);
      if (answer instanceof Response) return answer;
      return new Response(null, { status: 405, headers: { allow: answer.verbs.join(", ") } });
    } catch (error) {
      return failed(request, toFailure(error, "request-1"));
    }
  }

  async function call(verb: Verb, path: string, body?: unknown): Promise<Answer> {
    const response = await send(`/admin/v1${path}`, {
      method: verb,
      ...(body !== undefined && {
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      }),
    });
    const { status, headers } = response;
    const answer = { status, headers, body: await response.json() };
    await checkAnswer(verb, path, answer);
    return answer;
  }

  /** Calls, and expects a success. */
  async function result<T = Record<string, unknown>>(verb: Verb, path: string, body?: unknown): Promise<T> {
    const answer = await call(verb, path, body);
    if (answer.status > 299) throw new Error(`${verb} ${path} answered ${JSON.stringify(answer.body)}`);
    return answer.body as T;
  }

  /** Calls, and expects a refusal: its status, its reason and the fields that it names. */
  async function refusal(verb: Verb, path: string, body?: unknown) {
    const { status, body: answer } = await call(verb, path, body);
    const { error } = answer as ReturnType<typeof toErrorBody>;
    const fields = error.details.flatMap(
      ({ fieldViolations }) => (fieldViolations ?? []) as { field: string }[],
    );
    const reason = error.details.find(({ reason }) => reason)?.reason;
    return { status, reason, message: error.message, fields: fields.map(({ field }) => field) };
  }

  let document: Document | undefined;
  async function checkAnswer(verb: string, path: string, { status, body }: Answer): Promise<void> {
    document ??= (await (await send("/admin/v1/openapi.json")).json()) as Document;
    const operation = operationAt(document, verb, `/admin/v1${path}`);
    // A path that is not there is refused in the same form.
    const schema = operation?.responses[status]?.content["application/json"].schema ?? {
      $ref: "#/components/schemas/Error",
    };
    if (operation) expect(Object.keys(operation.responses), `${verb} ${path}`).toContain(String(status));
    const parsed = fromJSONSchema(resolved(document, schema) as never).safeParse(body);
    expect(parsed.success ? "" : `${verb} ${path}: ${parsed.error.message}`).toBe("");
  }

  return {
    deps,
    admin,
    send,
    call,
    result,
    refusal,
    homes: askedHomes,
    endpoints: askedEndpoints,
    woken,
    audited,
  };
}

type Operation = {
  responses: Record<string, { content: { "application/json": { schema: object } } }>;
};
export type Document = {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
};

/** The operation that the document has for a request, the longer template first. */
export function operationAt({ paths }: Document, verb: string, target: string): Operation | undefined {
  const [pathname = ""] = target.split("?", 1);
  const templates = Object.keys(paths).sort((a, b) => b.length - a.length);
  const fits = (template: string) => {
    const pattern = template.replace(/[.]/g, "\\.").replace(/\{\w+\}/g, "[^/]+");
    return new RegExp(`^${pattern}$`).test(pathname) && paths[template]?.[verb.toLowerCase()];
  };
  const found = templates.find(fits);
  return found === undefined ? undefined : paths[found]?.[verb.toLowerCase()];
}

/** A schema with what it refers to in its place. */
function resolved(document: Document, schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map((item) => resolved(document, item));
  if (typeof schema !== "object" || schema === null) return schema;
  const { $ref } = schema as { $ref?: string };
  if ($ref !== undefined)
    return resolved(document, document.components.schemas[$ref.split("/").at(-1) ?? ""]);
  return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, resolved(document, value)]));
}

export { adminRoutes };
