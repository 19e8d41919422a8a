// The settings: what each takes, what it refuses and by which name, what production insists on, and that the
// settings this repository ships are among those that work.

import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRegistry } from "../src/agents/registry.ts";
import { loadConfig } from "../src/config.ts";

declare global {
  namespace Cloudflare {
    interface Env {
      TEST_WRANGLER_TOML: string;
      ENCRYPTION_KEYS: string;
      SIGNING_KEYS: string;
      ADMIN_KEY: string;
    }
  }
}

const wranglerToml = env.TEST_WRANGLER_TOML;

/** The vars under a heading of wrangler.toml. They are plain strings, one a line. */
function varsOf(heading: string): Record<string, string> {
  const start = wranglerToml.indexOf(`\n[${heading}]\n`);
  if (start === -1) throw new Error(`wrangler.toml has no [${heading}]`);
  const [section = ""] = wranglerToml.slice(start + heading.length + 4).split(/\n\[/);
  const lines = [...section.matchAll(/^([A-Z_]+) = "(.*)"$/gm)];
  return Object.fromEntries(lines.map(([, name, value]) => [name, value]));
}

/** What no file holds. */
const secrets = {
  ENCRYPTION_KEYS: env.ENCRYPTION_KEYS,
  SIGNING_KEYS: env.SIGNING_KEYS,
  ADMIN_KEY: env.ADMIN_KEY,
};
const shipped = varsOf("vars");
const shippedProduction = varsOf("env.production.vars");
const defaults: Record<string, string> = { ...shipped, ...secrets };
const production = { ...shippedProduction, ...secrets };

function configOf(vars: object) {
  const loaded = loadConfig(vars);
  if (!loaded.ok) throw new Error(loaded.error.join("; "));
  return loaded.value;
}

function problemsOf(vars: object): string[] {
  const loaded = loadConfig(vars);
  return loaded.ok ? [] : loaded.error;
}

const names = Object.keys(defaults);
const vars = Object.keys(shipped);

describe("the vars of wrangler.toml", () => {
  it("are these settings", () => {
    expect(configOf(defaults)).toEqual({
      environment: "development",
      authModes: ["open"],
      jwtIssuers: [],
      defaultAgent: "echo",
      publicUrl: "",
      corsOrigins: [],
      allowedHosts: [],
      addressGuesses: 10,
      addressFailuresPerMinute: 0,
      callerSendsPerMinute: 0,
      callerReadsPerMinute: 0,
      callerPushConfigsPerMinute: 0,
      callerBurstMs: 10_000,
      callerStreams: 0,
      callerWaitingSends: 0,
      ownerTurns: 0,
      homeShards: 1,
      offVersions: [],
      streaming: true,
      pushNotifications: true,
      loadShedding: true,
      shedWaiting: 0,
      shedCommitMs: 0,
      shedOverdueMs: 0,
      shedBacklog: 0,
      extendedCard: true,
      defaultCardVersion: "1.0",
      requiredExtensions: [],
      maxBodyBytes: 1_048_576,
      maxJsonDepth: 64,
      maxParts: 1_000,
      maxTaskBytes: 16_777_216,
      taskRetentionMs: 30 * 86_400_000,
      turnTimeoutMs: 600_000,
      jobWatchMs: 5_000,
      heartbeatMs: 15_000,
      stepMs: 5_000,
      allowPrivateWebhooks: true,
      webhookPorts: [443, 8443],
      webhookConfigsPerTask: 10,
      webhookRatePerMinute: 0,
      webhookBurst: 10,
      webhookGlobalPerMinute: 0,
      webhookChallenge: "warn",
      webhookTokenOrigins: [],
      webhookTimeoutMs: 15_000,
      webhookRetryMs: [
        0, 5_000, 30_000, 120_000, 600_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000,
        72_000_000, 86_400_000,
      ],
      webhookRetentionMs: 30 * 86_400_000,
      auditRetentionMs: 365 * 86_400_000,
      dohUrl: "https://cloudflare-dns.com/dns-query",
      sessionMs: 3_600_000,
      sessionMaxMs: 86_400_000,
      sessionsPerOwner: 1_000,
      sessionRatePerMinute: 30,
      encryptionKeys: secrets.ENCRYPTION_KEYS,
      signingKeys: secrets.SIGNING_KEYS,
      adminKey: secrets.ADMIN_KEY,
    });
  });

  it("of production are closed, and otherwise the same but for scale", () => {
    const { environment, authModes, homeShards, jobWatchMs, stepMs, ...others } = configOf(production);
    expect({ environment, authModes, homeShards, jobWatchMs, stepMs }).toEqual({
      environment: "production",
      authModes: ["api-key"],
      homeShards: 4,
      jobWatchMs: 60_000,
      stepMs: 30_000,
    });
    const {
      addressFailuresPerMinute,
      callerSendsPerMinute,
      callerReadsPerMinute,
      callerPushConfigsPerMinute,
      callerStreams,
      callerWaitingSends,
      ownerTurns,
      shedWaiting,
      shedCommitMs,
      shedOverdueMs,
      shedBacklog,
      ...limited
    } = others;
    expect(addressFailuresPerMinute).toBe(300);
    expect([shedWaiting, shedCommitMs, shedOverdueMs, shedBacklog]).toEqual([500, 2_000, 300_000, 20_000]);
    const limits = [callerSendsPerMinute, callerReadsPerMinute, callerPushConfigsPerMinute];
    expect([...limits, callerStreams, callerWaitingSends, ownerTurns]).toEqual([
      1_200, 6_000, 120, 250, 250, 500,
    ]);
    const { allowPrivateWebhooks, webhookRatePerMinute, webhookGlobalPerMinute, ...rest } = limited;
    expect({ allowPrivateWebhooks, webhookRatePerMinute, webhookGlobalPerMinute }).toEqual({
      allowPrivateWebhooks: false,
      webhookRatePerMinute: 100,
      webhookGlobalPerMinute: 1_000,
    });
    expect(configOf(defaults)).toMatchObject(rest);
  });

  it("stand in both environments, since none is inherited", () => {
    expect(Object.keys(shippedProduction)).toEqual(vars);
  });

  it("hold no secret", () => {
    for (const name of Object.keys(secrets)) expect(vars).not.toContain(name);
  });

  it("each have a comment of their own", () => {
    for (const name of vars) {
      expect(wranglerToml, name).toMatch(new RegExp(`\\n# .+\\n${name} = `));
    }
  });

  it("name an agent that is served, in both environments", () => {
    for (const all of [defaults, production]) expect(createRegistry(configOf(all)).ok).toBe(true);
  });
});

describe("a config", () => {
  it("is frozen, with what it holds", () => {
    const config = configOf({ ...defaults, REQUIRED_EXTENSIONS: "urn:a" });
    expect(Object.isFrozen(config)).toBe(true);
    for (const value of Object.values(config)) expect(Object.isFrozen(value)).toBe(true);
  });

  it("takes no notice of bindings and unknown vars", () => {
    expect(configOf({ ...defaults, DB: {}, HOMES: () => {}, SOMETHING: "else" })).toEqual(configOf(defaults));
  });

  it("never becomes a default: what is missing is refused by its name", () => {
    for (const name of names) {
      const { [name]: _, ...others } = defaults;
      expect(problemsOf(others), name).toHaveLength(1);
      expect(problemsOf(others)[0], name).toMatch(new RegExp(`^${name} `));
    }
    expect(problemsOf({}).map((problem) => problem.split(" ")[0])).toEqual(names);
  });

  it.each(names)("refuses a %s that is no text", (name) => {
    for (const value of [1, true, null, [], {}, undefined]) {
      const problems = problemsOf({ ...defaults, [name]: value });
      expect(new Set(problems.map((problem) => problem.split(" ")[0]))).toEqual(new Set([name]));
    }
  });

  it("names every setting that is wrong at once", () => {
    const problems = problemsOf({ ...defaults, HOME_SHARDS: "0", STREAMING: "yes", PUBLIC_URL: "here" });
    expect(problems.map((problem) => problem.split(" ")[0]).toSorted()).toEqual([
      "HOME_SHARDS",
      "PUBLIC_URL",
      "STREAMING",
    ]);
  });
});

const numbers: [name: string, key: string, min: number, max: number, unit: number][] = [
  ["ADDRESS_GUESSES", "addressGuesses", 0, 10_000, 1],
  ["ADDRESS_FAILURES_PER_MINUTE", "addressFailuresPerMinute", 0, 1_000_000, 1],
  ["CALLER_SENDS_PER_MINUTE", "callerSendsPerMinute", 0, 1_000_000, 1],
  ["CALLER_READS_PER_MINUTE", "callerReadsPerMinute", 0, 1_000_000, 1],
  ["CALLER_PUSH_CONFIGS_PER_MINUTE", "callerPushConfigsPerMinute", 0, 1_000_000, 1],
  ["CALLER_BURST_SECONDS", "callerBurstMs", 1, 600, 1_000],
  ["CALLER_STREAMS", "callerStreams", 0, 100_000, 1],
  ["CALLER_WAITING_SENDS", "callerWaitingSends", 0, 100_000, 1],
  ["OWNER_TURNS", "ownerTurns", 0, 100_000, 1],
  ["HOME_SHARDS", "homeShards", 1, 64, 1],
  ["SHED_WAITING", "shedWaiting", 0, 100_000, 1],
  ["SHED_COMMIT_MILLISECONDS", "shedCommitMs", 0, 600_000, 1],
  ["SHED_OVERDUE_SECONDS", "shedOverdueMs", 0, 86_400, 1_000],
  ["SHED_BACKLOG", "shedBacklog", 0, 1_000_000, 1],
  ["MAX_BODY_BYTES", "maxBodyBytes", 1_024, 16_777_216, 1],
  ["MAX_JSON_DEPTH", "maxJsonDepth", 8, 256, 1],
  ["MAX_PARTS", "maxParts", 1, 100_000, 1],
  // A task leaves its home in one RPC value, which holds 32 MiB, and text that is not Latin-1 takes two bytes a unit.
  ["MAX_TASK_BYTES", "maxTaskBytes", 65_536, 16_777_216, 1],
  ["TASK_RETENTION_DAYS", "taskRetentionMs", 1, 3_650, 86_400_000],
  ["TURN_TIMEOUT_SECONDS", "turnTimeoutMs", 1, 3_600, 1_000],
  ["JOB_WATCH_SECONDS", "jobWatchMs", 1, 3_600, 1_000],
  ["HEARTBEAT_SECONDS", "heartbeatMs", 1, 300, 1_000],
  ["STEP_MILLISECONDS", "stepMs", 1, 86_400_000, 1],
  ["WEBHOOK_CONFIGS_PER_TASK", "webhookConfigsPerTask", 1, 100, 1],
  ["WEBHOOK_RATE_PER_MINUTE", "webhookRatePerMinute", 0, 1_000_000, 1],
  ["WEBHOOK_BURST", "webhookBurst", 1, 100_000, 1],
  ["WEBHOOK_GLOBAL_PER_MINUTE", "webhookGlobalPerMinute", 0, 10_000_000, 1],
  ["WEBHOOK_TIMEOUT_SECONDS", "webhookTimeoutMs", 1, 30, 1_000],
  ["WEBHOOK_RETENTION_DAYS", "webhookRetentionMs", 1, 3_650, 86_400_000],
  ["AUDIT_RETENTION_DAYS", "auditRetentionMs", 1, 36_500, 86_400_000],
  ["SESSION_SECONDS", "sessionMs", 60, 86_400, 1_000],
  ["SESSION_MAX_SECONDS", "sessionMaxMs", 60, 2_592_000, 1_000],
  ["SESSIONS_PER_OWNER", "sessionsPerOwner", 1, 10_000, 1],
  ["SESSION_RATE_PER_MINUTE", "sessionRatePerMinute", 1, 1_000, 1],
];

describe.each(numbers)("%s", (name, key, min, max, unit) => {
  it(`is a whole number from ${min} to ${max}`, () => {
    for (const value of [min, min + 1, max]) {
      expect(configOf({ ...defaults, [name]: String(value) })).toMatchObject({ [key]: value * unit });
    }
    for (const value of [
      min - 1,
      max + 1,
      -max,
      0.5 + min,
      "1e3",
      "0x10",
      " 8",
      "8 ",
      "",
      "many",
      "NaN",
      "9".repeat(20),
    ]) {
      expect(problemsOf({ ...defaults, [name]: String(value) }), String(value)).toEqual([
        expect.stringMatching(new RegExp(`^${name} must be `)),
      ]);
    }
  });
});

it("has a row here for every number", () => {
  const numeric = names.filter((name) => /^\d+$/.test(defaults[name] ?? ""));
  expect(numbers.map(([name]) => name)).toEqual(numeric);
});

describe.each([
  ["STREAMING", "streaming"],
  ["PUSH_NOTIFICATIONS", "pushNotifications"],
  ["LOAD_SHEDDING", "loadShedding"],
  ["EXTENDED_CARD", "extendedCard"],
  ["ALLOW_PRIVATE_WEBHOOKS", "allowPrivateWebhooks"],
])("%s", (name, key) => {
  it("is true or false", () => {
    expect(configOf({ ...defaults, [name]: "true" })).toMatchObject({ [key]: true });
    expect(configOf({ ...defaults, [name]: "false" })).toMatchObject({ [key]: false });
    for (const value of ["", "TRUE", "1", "yes", "on"]) {
      expect(problemsOf({ ...defaults, [name]: value })).toEqual([`${name} must be "true" or "false"`]);
    }
  });
});

describe.each([
  ["ENVIRONMENT", ["staging", "Production", ""]],
  ["AUTH_MODE", ["none", "OPEN", "open,api-key", "open,open", "api-key,api-key", "api-key,basic", ",", ""]],
  ["DEFAULT_AGENT", [""]],
  [
    "CORS_ORIGINS",
    [
      "null",
      "app.example.com",
      "https://app.example.com/",
      "https://*.example.com",
      "HTTPS://a.example",
      "**",
    ],
  ],
  ["ALLOWED_HOSTS", ["A.example", "a.example:80", "https://a.example", "a.example/", "u@a.example", "a b"]],
  ["WEBHOOK_PORTS", ["", ",", "0", "65536", "443,many", "443 8443", "-1", "4.5"]],
  ["WEBHOOK_RETRY_SECONDS", ["", "0,-5", "0,604801", "0;5", "soon"]],
  ["WEBHOOK_CHALLENGE", ["", "on", "Required"]],
  ["WEBHOOK_TOKEN_ORIGINS", ["*", "login.example", "https://login.example/", "https://*.a.example"]],
  ["DOH_URL", ["", "dns", "http://dns.example/dns-query"]],
  ["ADMIN_KEY", ["", "k".repeat(31)]],
  ["ENCRYPTION_KEYS", [""]],
  ["SIGNING_KEYS", [""]],
  ["DEFAULT_CARD_VERSION", ["0.2", "0.3.0", "1.0.1", ""]],
  [
    "PUBLIC_URL",
    [
      "agents.example.com",
      "https://agents.example.com/",
      "https://agents.example.com/base",
      "https://agents.example.com?x",
      "https://user:secret@agents.example.com",
      "HTTPS://AGENTS.EXAMPLE.COM",
      "https://agents.example.com:443",
      "ftp://agents.example.com",
      "javascript:alert(1)",
      "httpx://agents.example.com",
      " https://agents.example.com",
      "null",
    ],
  ],
])("%s", (name, refused) => {
  it.each(refused)("refuses %j", (value) => {
    expect(problemsOf({ ...defaults, [name]: value })).toEqual([
      expect.stringMatching(new RegExp(`^${name} must `)),
    ]);
  });
});

describe("PUBLIC_URL", () => {
  it.each([
    "",
    "https://agents.example.com",
    "http://127.0.0.1:8787",
    "https://[::1]:8443",
    "https://xn--bcher-kva.example",
  ])("takes %j", (url) => {
    expect(configOf({ ...defaults, PUBLIC_URL: url }).publicUrl).toBe(url);
  });
});

describe.each([
  ["CORS_ORIGINS", "corsOrigins", ["https://app.example.com", "http://localhost:3000"]],
  ["ALLOWED_HOSTS", "allowedHosts", ["agents.lan", "a2a", "xn--bcher-kva.example"]],
])("%s", (name, key, items) => {
  it("is a list, none or *", () => {
    expect(configOf({ ...defaults, [name]: ` ${items.join(" , ")},` })).toMatchObject({ [key]: items });
    expect(configOf({ ...defaults, [name]: "" })).toMatchObject({ [key]: [] });
    expect(configOf({ ...defaults, [name]: "*" })).toMatchObject({ [key]: ["*"] });
  });
});

describe("WEBHOOK_TOKEN_ORIGINS", () => {
  it("is a list or none", () => {
    const text = " https://login.example , https://id.example:8443,";
    const items = ["https://login.example", "https://id.example:8443"];
    expect(configOf({ ...defaults, WEBHOOK_TOKEN_ORIGINS: text }).webhookTokenOrigins).toEqual(items);
    expect(configOf({ ...defaults, WEBHOOK_TOKEN_ORIGINS: "" }).webhookTokenOrigins).toEqual([]);
  });
});

describe("REQUIRED_EXTENSIONS", () => {
  it.each([
    ["", []],
    [" , ,", []],
    ["urn:a", ["urn:a"]],
    [" urn:a ,https://example.com/ext/v1,", ["urn:a", "https://example.com/ext/v1"]],
  ])("%j is %j", (text, list) => {
    expect(configOf({ ...defaults, REQUIRED_EXTENSIONS: text }).requiredExtensions).toEqual(list);
  });
});

describe("lists of numbers", () => {
  it("are read in their order, with spaces around", () => {
    const config = configOf({
      ...defaults,
      WEBHOOK_PORTS: " 8443 ,1,65535",
      WEBHOOK_RETRY_SECONDS: "0,1,604800",
    });
    expect(config.webhookPorts).toEqual([8443, 1, 65_535]);
    expect(config.webhookRetryMs).toEqual([0, 1_000, 604_800_000]);
  });
});

describe("AUTH_MODE", () => {
  const issuers = JSON.stringify([{ issuer: "https://id.example.com/", audience: "a2a" }]);

  it.each([
    ["api-key", ["api-key"]],
    [" jwt , api-key ", ["jwt", "api-key"]],
    ["jwt", ["jwt"]],
  ])("%j is %j", (text, modes) => {
    for (const vars of [defaults, production]) {
      expect(configOf({ ...vars, AUTH_MODE: text, JWT_ISSUERS: issuers }).authModes).toEqual(modes);
    }
  });

  it("with jwt wants an issuer", () => {
    expect(problemsOf({ ...defaults, AUTH_MODE: "jwt" })).toEqual([
      expect.stringMatching(/^JWT_ISSUERS must/),
    ]);
  });

  it("takes plain http from an issuer in development only", () => {
    const plain = issuers.replace("https:", "http:");
    expect(configOf({ ...defaults, JWT_ISSUERS: plain }).jwtIssuers[0]?.issuer).toBe(
      "http://id.example.com/",
    );
    expect(problemsOf({ ...production, JWT_ISSUERS: plain })).toEqual([
      "JWT_ISSUERS[0].issuer must be an https URL in production",
    ]);
  });
});

describe("DEFAULT_AGENT", () => {
  it.each(["nobody", "Echo", "__proto__", "constructor"])("must be served: %s is not", (agent) => {
    const registry = createRegistry(configOf({ ...defaults, DEFAULT_AGENT: agent }));
    expect(registry).toMatchObject({
      ok: false,
      error: expect.stringMatching(/^DEFAULT_AGENT must be one of echo, /),
    });
  });

  it("may be conformance in development only", () => {
    expect(createRegistry(configOf({ ...defaults, DEFAULT_AGENT: "conformance" })).ok).toBe(true);
    expect(problemsOf({ ...production, DEFAULT_AGENT: "conformance" })[0]).toMatch(/^DEFAULT_AGENT /);
  });
});

describe("production", () => {
  it.each([
    ["AUTH_MODE", "open"],
    ["DEFAULT_AGENT", "conformance"],
    ["PUBLIC_URL", "http://agents.example.com"],
    ["ALLOW_PRIVATE_WEBHOOKS", "true"],
    ["CORS_ORIGINS", "*"],
  ])("refuses %s = %s", (name, value) => {
    expect(problemsOf({ ...production, [name]: value })).toEqual([
      expect.stringMatching(new RegExp(`^${name} .*production`)),
    ]);
  });

  it("names all open doors at once", () => {
    const open = { AUTH_MODE: "open", DEFAULT_AGENT: "conformance", PUBLIC_URL: "http://a.example" };
    const all = { ...open, ALLOW_PRIVATE_WEBHOOKS: "true", CORS_ORIGINS: "https://a.example,*" };
    expect(problemsOf({ ...production, ...all })).toHaveLength(5);
  });

  it("serves no agent that is for development", () => {
    const registry = createRegistry(configOf(production));
    expect(registry.ok && registry.value.list().filter((agent) => agent.developmentOnly)).toEqual([]);
    expect(registry.ok && registry.value.get("conformance")).toBeUndefined();
  });
});

describe("a Worker with a wrong setting", () => {
  const logged: string[] = [];

  beforeEach(() => {
    logged.length = 0;
    vi.spyOn(console, "error").mockImplementation((line) => void logged.push(String(line)));
  });
  afterEach(() => void vi.restoreAllMocks());

  /** A Worker that has not read its configuration yet. */
  async function freshWorker() {
    vi.resetModules();
    const { default: worker } = await import("../src/index.ts");
    return worker;
  }

  it.each([
    ["AUTH_MODE", { ...production, AUTH_MODE: "open" }],
    ["HOME_SHARDS", { ...defaults, HOME_SHARDS: "0" }],
    ["DEFAULT_AGENT", { ...defaults, DEFAULT_AGENT: "nobody" }],
    ["ENCRYPTION_KEYS", { ...defaults, ENCRYPTION_KEYS: "nobody" }],
    ["SIGNING_KEYS", { ...defaults, SIGNING_KEYS: "nobody" }],
  ])("answers every request with 500 and names %s in the log only", async (name, vars) => {
    const worker = await freshWorker();
    const context = { waitUntil() {}, passThroughOnException() {} } as unknown as ExecutionContext;
    const requests = [
      new Request("https://agents.test/health"),
      new Request("https://agents.test/ready"),
      new Request("https://agents.test/"),
      new Request("https://agents.test/.well-known/agent-card.json"),
      new Request("https://agents.test/tasks/1", { method: "DELETE" }),
      new Request("https://agents.test/", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"jsonrpc":"2.0","id":1,"method":"ListTasks"}',
      }),
    ];
    for (const request of requests) {
      const response = await worker.fetch(
        request as Parameters<typeof worker.fetch>[0],
        { ...env, ...vars },
        context,
      );
      expect(response.status).toBe(500);
      const body = await response.text();
      expect(JSON.parse(body)).toMatchObject({ error: { code: 500, status: "INTERNAL" } });
      for (const word of [name, "production", "nobody"]) expect(body).not.toContain(word);
    }
    expect(logged).toHaveLength(requests.length);
    for (const line of logged) expect(line).toContain(name);
  });

  it("is any Worker whose vars are right when they are", async () => {
    const worker = await freshWorker();
    const context = { waitUntil() {}, passThroughOnException() {} } as unknown as ExecutionContext;
    const request = new Request("https://agents.test/health") as Parameters<typeof worker.fetch>[0];
    const response = await worker.fetch(request, { ...env, ...production }, context);
    expect(response.status).toBe(200);
    expect(logged).toEqual([]);
  });
});
