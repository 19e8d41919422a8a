// Who is an operator: the holder of ADMIN_KEY, and callers whose credentials say so, each for what they say.

import { env } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createAuthentication } from "../../src/auth/authenticate.ts";
import { createRequireOperator } from "../../src/auth/operator.ts";
import type { AdminScope } from "../../src/auth/roles.ts";
import type { AuthMode } from "../../src/config.ts";
import { err } from "../../src/lib/result.ts";
import { A2AError, failure } from "../../src/protocol/errors.ts";
import { createApiKey } from "../../src/store/api-keys.ts";
import { createOperator } from "../admin/operator.ts";
import { configWith } from "../support/operations.ts";
import { serveWith } from "../support/server.ts";

const ADMIN_SCOPES: AdminScope[] = ["admin:read", "admin:write", "admin:keys"];

beforeEach(() => void vi.spyOn(console, "info").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

async function keyWith(rights: { roles?: string[]; scopes?: string[] }) {
  const all = { owner: "ops", roles: [], scopes: [], createdBy: "cli", ...rights };
  return createApiKey(env.DB, all, Date.now());
}

function setUp(...authModes: AuthMode[]) {
  const config = configWith({ authModes });
  const { authenticate, sessions } = createAuthentication({ config, db: env.DB });
  const requireOperator = createRequireOperator({ adminKey: config.adminKey, authenticate });
  const ask = async (headers: Record<string, string>, scope: AdminScope, url = "https://a.test/metrics") => {
    try {
      return (await requireOperator(new Request(url, { headers }), scope)).actor;
    } catch (error) {
      if (error instanceof A2AError) return [error.failure.reason, error.failure.metadata?.scope];
      throw error;
    }
  };
  return { config, ask, authenticate, sessions };
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}` });

describe("ADMIN_KEY", () => {
  it("is for everything, in every mode, and does it in nobody's name", async () => {
    for (const { ask, config } of [setUp("open"), setUp("api-key")]) {
      for (const scope of ADMIN_SCOPES) {
        expect(await ask(bearer(config.adminKey), scope)).toBe("operator::admin-key");
      }
    }
  });

  it("is no caller's credential", async () => {
    const { authenticate, config } = setUp("api-key");
    const request = new Request("https://a.test", { headers: bearer(config.adminKey) });
    expect((await authenticate(request)).ok).toBe(false);
  });
});

describe("a caller", () => {
  const allows: [rights: { roles?: string[]; scopes?: string[] }, allowed: AdminScope[]][] = [
    [{ roles: ["admin"] }, ADMIN_SCOPES],
    [{ roles: ["operator"] }, ["admin:read", "admin:write"]],
    [{ scopes: ["admin:*"] }, ADMIN_SCOPES],
    [{ scopes: ["admin:read"] }, ["admin:read"]],
    [{ roles: ["user"], scopes: ["admin:keys"] }, ["admin:keys"]],
    [{ roles: ["approver"] }, []],
    [{ scopes: ["task:*", "push:*"] }, []],
    [{ scopes: ["admin", "admin:", "admin:everything", "*"] }, []],
  ];

  it.each(allows)("with %j may do as an operator %j, under its own name", async (rights, allowed) => {
    const { ask } = setUp("api-key");
    const { key, text } = await keyWith(rights);
    for (const scope of ADMIN_SCOPES) {
      const expected = allowed.includes(scope) ? `key:ops:${key.id}` : ["PERMISSION_DENIED", scope];
      expect(await ask(bearer(text), scope)).toEqual(expected);
      expect(await ask({ "x-api-key": text }, scope)).toEqual(expected);
    }
  });

  it("of open mode is nobody, whatever they say", async () => {
    const { ask } = setUp("open");
    const { text } = await keyWith({ roles: ["admin"] });
    const all = [
      {},
      { "x-dev-owner": "admin" },
      { "x-dev-owner": "\t" },
      bearer(text),
      { "x-api-key": text },
    ];
    for (const headers of all) {
      expect(await ask(headers as Record<string, string>, "admin:read")).toEqual([
        "UNAUTHENTICATED",
        undefined,
      ]);
    }
  });

  it.each([
    ["none", {}],
    ["a wrong one", bearer("a2a_0123456789abcdefghij")],
    ["two", { ...bearer("a2a_0123456789abcdefghij"), "x-api-key": "a2a_0123456789abcdefghik" }],
    ["another scheme", { authorization: "Basic eDp5" }],
  ])("with %s is nobody", async (_, headers) => {
    const { ask } = setUp("api-key");
    expect(await ask(headers, "admin:read")).toEqual(["UNAUTHENTICATED", undefined]);
  });

  it.each(["UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "INVALID_REQUEST"] as const)(
    "of whom nothing can be said now is told so: %s",
    async (reason) => {
      const config = configWith();
      const requireOperator = createRequireOperator({
        adminKey: config.adminKey,
        authenticate: async () => err(failure(reason)),
      });
      await expect(requireOperator(new Request("https://a.test"), "admin:read")).rejects.toMatchObject({
        failure: { reason },
      });
    },
  );

  it("who lacks the scope is told of to whom it concerns, and nobody else is", async () => {
    const { config, authenticate } = setUp("api-key");
    const { key, text } = await keyWith({ scopes: ["admin:read"] });
    const denied: string[][] = [];
    const onDenied = ({ actor }: { actor: string }, scope: string) => void denied.push([actor, scope]);
    const requireOperator = createRequireOperator({ adminKey: config.adminKey, authenticate, onDenied });
    const request = (credential: string) => new Request("https://a.test", { headers: bearer(credential) });
    await requireOperator(request(text), "admin:read");
    await requireOperator(request(config.adminKey), "admin:write");
    await expect(requireOperator(request("nobody"), "admin:write")).rejects.toThrow();
    expect(denied).toEqual([]);
    await expect(requireOperator(request(text), "admin:write")).rejects.toThrow();
    expect(denied).toEqual([[`key:ops:${key.id}`, "admin:write"]]);
  });

  it("who comes with a session is an operator where that was asked for, and no longer than the key", async () => {
    const { ask, authenticate, sessions } = setUp("api-key");
    const { key, text } = await keyWith({ roles: ["admin", "user"] });
    const by = await authenticate(new Request("https://a.test", { headers: bearer(text) }));
    if (!by.ok) throw new Error(by.error.message);
    const [plain, reading] = [
      await sessions.open(by.value, {}),
      await sessions.open(by.value, { scopes: ["admin:read"] }),
    ];
    if (!plain.ok || !reading.ok) throw new Error("not opened");
    expect(await ask(bearer(plain.value.token), "admin:read")).toEqual(["PERMISSION_DENIED", "admin:read"]);
    const actor = `key:ops:${key.id}/${reading.value.id}`;
    expect(await ask(bearer(reading.value.token), "admin:read")).toBe(actor);
    expect(await ask(bearer(reading.value.token), "admin:write")).toEqual([
      "PERMISSION_DENIED",
      "admin:write",
    ]);
  });
});

describe("through the front door", () => {
  it("GET /metrics wants admin:read: 401 without, 403 with less", async () => {
    const fetch = serveWith({ authModes: ["api-key"] });
    const get = async (headers: Record<string, string>) =>
      fetch(new Request("https://agents.test/metrics", { headers }));
    expect((await get({})).status).toBe(401);
    const user = await get(bearer((await keyWith({ roles: ["user"] })).text));
    expect(user.status).toBe(403);
    expect(await user.text()).toContain("admin:read");
    expect((await get(bearer((await keyWith({ roles: ["operator"] })).text))).status).toBe(200);
  });

  it("the operators' API asks for the scope of the route, and what is done is done in somebody's name", async () => {
    const logged = vi.spyOn(console, "info").mockImplementation(() => {});
    const { send } = createOperator();
    const { key, text } = await keyWith({ scopes: ["admin:write"] });
    const { text: reader } = await keyWith({ scopes: ["admin:read"] });
    const trim = (secret: string) =>
      send("/admin/v1/retention:trim", { method: "POST", headers: bearer(secret) });
    expect((await send("/admin/v1/retention", { headers: bearer(reader) })).status).toBe(200);
    expect((await send("/admin/v1/retention", { headers: bearer(text) })).status).toBe(403);
    const refused = await trim(reader);
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain("admin:write");
    expect(logged.mock.calls.join()).not.toContain("retention");
    expect((await trim(text)).status).toBe(200);
    const line = logged.mock.calls.map(([one]) => String(one)).find((one) => one.includes("retention"));
    expect(JSON.parse(line ?? "")).toMatchObject({ actor: `key:ops:${key.id}`, verb: "POST" });
  });

  it("does not tell who may nothing which paths there are", async () => {
    const { send } = createOperator();
    const { text } = await keyWith({ roles: ["user"] });
    for (const path of ["/admin/v1/endpoints", "/admin/v1/nothing"]) {
      expect((await send(path, { headers: bearer(text) })).status).toBe(403);
    }
  });
});
