// GET /ready on the real bindings: it reaches what every request may need, says what cannot be reached, and writes
// nothing.

import { env, runInDurableObject, SELF } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";

let logged: MockInstance;

beforeEach(() => {
  logged = vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

/** What a Worker with these bindings answers. */
async function readiness(bindings: object): Promise<{ status: number; body: unknown; text: string }> {
  vi.resetModules();
  const { default: worker } = await import("../../src/index.ts");
  const context = { waitUntil() {}, passThroughOnException() {} } as unknown as ExecutionContext;
  const request = new Request("https://agents.test/ready") as Parameters<typeof worker.fetch>[0];
  const response = await worker.fetch(request, { ...env, ...bindings } as Env, context);
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text), text };
}

const down = () => Promise.reject(new Error("connect to db.internal with password hunter2 failed"));

const homesThat = (ping: () => Promise<unknown>) => ({ idFromName: () => ({}), get: () => ({ ping }) });

describe("GET /ready", () => {
  it("is ready when the object and the database answer", async () => {
    const response = await SELF.fetch("https://agents.test/ready");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ok", checks: { homes: "ok", database: "ok" } });
    expect(response.headers.get("cache-control")).toBe("no-store");
  });

  it("writes nothing, however often it is asked", async () => {
    for (let i = 0; i < 3; i++) await SELF.fetch("https://agents.test/ready");
    const home = env.HOMES.get(env.HOMES.idFromName("ready/0"));
    await runInDurableObject(home, async (_, { storage }) => {
      const tables = storage.sql.exec(
        "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'",
      );
      expect(tables.toArray()).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
    });
    const { results } = await env.DB.prepare("SELECT * FROM homes").all();
    expect(results).toEqual([]);
  });

  it.each([
    ["database", { DB: { prepare: () => ({ run: down }) }, HOMES: homesThat(() => Promise.resolve()) }],
    ["homes", { HOMES: homesThat(down) }],
  ])("is not ready without %s, says which, and logs why", async (name, bindings) => {
    const { status, body, text } = await readiness(bindings);
    expect(status).toBe(503);
    expect(body).toMatchObject({ status: "unavailable", checks: { [name]: "unavailable" } });
    expect(Object.values((body as { checks: object }).checks)).toContain("ok");
    expect(text).not.toContain("hunter2");
    expect(logged).toHaveBeenCalledTimes(1);
    expect(String(logged.mock.calls[0]?.[0])).toContain(name);
  });
});

describe("GET /health", () => {
  it("answers while nothing it stands on does", async () => {
    vi.resetModules();
    const { default: worker } = await import("../../src/index.ts");
    const context = { waitUntil() {}, passThroughOnException() {} } as unknown as ExecutionContext;
    const request = new Request("https://agents.test/health") as Parameters<typeof worker.fetch>[0];
    const broken = { ...env, DB: undefined, HOMES: undefined, JOBS: undefined } as unknown as Env;
    expect((await worker.fetch(request, broken, context)).status).toBe(200);
  });
});
