// What the specification asks of what a server says about itself: capabilities, errors, cards, and that its bindings
// say the same.

import { env } from "cloudflare:test";
import { DefaultAgentCardResolver } from "@a2a-js/sdk/client";
import { parseLegacyAgentCard } from "@a2a-js/sdk/compat/v0_3/client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApiKey } from "../../src/store/api-keys.ts";
import {
  BINDINGS,
  type Binding,
  call,
  type Outcome,
  open,
  over,
  request,
  toOutcome,
} from "../support/bindings.ts";
import { createClient, kindOf, ORIGIN, toMessage } from "../support/client.ts";
import { serveWith } from "../support/server.ts";
import { MISSING, newClient, withoutPush } from "./tasks.ts";

// The agent that is asked to throw is logged, as it should be.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

describe.each(BINDINGS)("over %s", (binding: Binding) => {
  const { ask, value, reason } = over(binding);

  describe("capabilities that are off (§3.3.4)", () => {
    it("STREAMING=false: no streams, and the card says so", async () => {
      const client = createClient({ agent: "conformance", fetch: serveWith({ streaming: false }) });
      const { id } = await client.sendForTask("input");
      const card = await (await client.request("/.well-known/agent-card.json")).json();
      expect(card).toMatchObject({ capabilities: { streaming: false } });
      expect(await reason(client, "SendStreamingMessage", { message: toMessage("hello") })).toBe(
        "UNSUPPORTED_OPERATION",
      );
      expect(await reason(client, "SubscribeToTask", { id })).toBe("UNSUPPORTED_OPERATION");
      expect((await client.list()).totalSize).toBe(1);
    });

    it("PUSH_NOTIFICATIONS=false: none of the four operations, for tasks that exist or do not, and the card says so", async () => {
      const client = withoutPush();
      const { id } = await client.sendForTask("input");
      const card = await (await client.request("/.well-known/agent-card.json")).json<{
        capabilities: object;
      }>();
      expect(card.capabilities).toMatchObject({ pushNotifications: false });
      expect(card.capabilities).not.toHaveProperty("extensions");
      for (const taskId of [id, MISSING]) {
        const asked = [
          ["CreateTaskPushNotificationConfig", { taskId, url: "https://example.com/hook" }],
          ["GetTaskPushNotificationConfig", { taskId, id: "c" }],
          ["ListTaskPushNotificationConfigs", { taskId }],
          ["DeleteTaskPushNotificationConfig", { taskId, id: "c" }],
        ] as const;
        for (const [name, params] of asked) {
          expect(await reason(client, name, params), name).toBe("PUSH_NOTIFICATION_NOT_SUPPORTED");
        }
      }
    });

    it("EXTENDED_CARD=false: no extended card, and the card says so", async () => {
      const client = createClient({ agent: "enterprise", fetch: serveWith({ extendedCard: false }) });
      const card = await (await client.request("/.well-known/agent-card.json")).json<{
        capabilities: object;
      }>();
      expect(card.capabilities).not.toMatchObject({ extendedAgentCard: true });
      expect(await reason(client, "GetExtendedAgentCard", {})).toBe("UNSUPPORTED_OPERATION");
    });

    it("the extended card has all of the card, and more skills", async () => {
      const client = createClient({ agent: "enterprise" });
      const published = await client.request("/.well-known/agent-card.json");
      const { signatures, ...card } = await published.json<{ skills: unknown[]; signatures: unknown[] }>();
      const extended = await value<{ skills: unknown[] }>(client, "GetExtendedAgentCard", {});
      expect(extended).toMatchObject({ ...card, skills: expect.arrayContaining(card.skills) });
      expect(extended.skills.length).toBeGreaterThan(card.skills.length);
    });

    it("a required extension is required of every operation, and named in the answer when it is there", async () => {
      const uri = "https://example.com/ext/v1";
      const client = createClient({ agent: "conformance", fetch: serveWith({ requiredExtensions: [uri] }) });
      const operations = [
        ["SendMessage", { message: toMessage("hello") }],
        ["SendStreamingMessage", { message: toMessage("hello") }],
        ["GetTask", { id: MISSING }],
        ["ListTasks", {}],
        ["CancelTask", { id: MISSING }],
        ["SubscribeToTask", { id: MISSING }],
        ["GetExtendedAgentCard", {}],
      ] as const;
      for (const [name, params] of operations) {
        expect(await reason(client, name, params), name).toBe("EXTENSION_SUPPORT_REQUIRED");
      }
      const headers = { "a2a-extensions": `urn:other , ${uri},${uri}` };
      const response = await request(binding, client, "ListTasks", {}, headers);
      expect(response.headers.get("a2a-extensions")).toBe(uri);
      expect(await toOutcome(binding, response)).toMatchObject({ result: { totalSize: 0 } });
    });
  });

  describe("errors (§5.4)", () => {
    it("carry ErrorInfo of the specification's domain, with texts for metadata", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("hello");
      const failures = [
        await ask(client, "GetTask", { id: MISSING }),
        await ask(client, "CancelTask", { id }),
        await ask(client, "SubscribeToTask", { id }),
        await ask(withoutPush(), "ListTaskPushNotificationConfigs", { taskId: id }),
        await ask(client, "ListTasks", { pageSize: 0 }),
        await ask(client, "ListTasks", {}, { "a2a-version": "7.0" }),
      ];
      const reasons = failures.map((failure) => ("reason" in failure ? failure.reason : "none"));
      expect(reasons).toEqual([
        "TASK_NOT_FOUND",
        "TASK_NOT_CANCELABLE",
        "UNSUPPORTED_OPERATION",
        "PUSH_NOTIFICATION_NOT_SUPPORTED",
        "INVALID_PARAMS",
        "VERSION_NOT_SUPPORTED",
      ]);
      for (const failure of failures) {
        if (!("details" in failure)) throw new Error("no failure");
        for (const detail of failure.details)
          expect(detail["@type"]).toMatch(/^type\.googleapis\.com\/google\.rpc\./);
        const info = failure.details.find((detail) => detail.reason !== undefined);
        expect(info?.domain).toBe("a2a-protocol.org");
        for (const text of Object.values(info?.metadata ?? {})) expect(text).toBeTypeOf("string");
      }
    });

    it("have the code and the status of their table", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("hello");
      const table: [Outcome, number, number][] = [
        [await ask(client, "GetTask", { id: MISSING }), -32001, 404],
        [await ask(client, "CancelTask", { id }), -32002, 400],
        [await ask(withoutPush(), "ListTaskPushNotificationConfigs", { taskId: id }), -32003, 400],
        [await ask(client, "SubscribeToTask", { id }), -32004, 400],
        [await ask(client, "ListTasks", {}, { "a2a-version": "7.0" }), -32009, 400],
        [await ask(client, "ListTasks", { pageSize: 0 }), -32602, 400],
      ];
      for (const [outcome, rpc, http] of table) {
        const expected = binding === "JSON-RPC" ? { code: rpc, status: 200 } : { code: http, status: http };
        expect(outcome).toMatchObject(expected);
      }
    });
  });
});

describe("one task over both bindings", () => {
  it("is the same task, field by field", async () => {
    const client = newClient();
    for (const says of ["hello", "input", "throw", "stream:3:0"]) {
      const { id } = await client.sendForTask(says);
      const [one, two] = await Promise.all(
        BINDINGS.map((binding) => call(binding, client, "GetTask", { id })),
      );
      expect(one).toEqual(two);
    }
    const params = { pageSize: "2", includeArtifacts: "true" };
    const list = await (await client.request(`/tasks?${new URLSearchParams(params)}`)).json();
    expect(list).toEqual(await client.list({ pageSize: 2, includeArtifacts: true }));
  });

  it("can be begun over one, followed over the other, and canceled over the first", async () => {
    const client = newClient();
    const { id } = await client.start("slow:60000");
    const stream = await open("HTTP+JSON", client, "SubscribeToTask", { id });
    await stream.next();
    await client.cancel(id);
    expect((await stream.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_CANCELED");
  });
});

describe("a card (§4.4.1)", () => {
  type Card = { [member: string]: unknown };

  it("says how to authenticate where that is needed, and only there (§4.5)", async () => {
    const open = await (await createClient().request("/.well-known/agent-card.json")).json<Card>();
    expect(open).not.toHaveProperty("securitySchemes");
    expect(open).not.toHaveProperty("securityRequirements");
    const closed = createClient({ fetch: serveWith({ authModes: ["api-key"] }) });
    const card = await (await closed.request("/.well-known/agent-card.json")).json<Card>();
    const schemes = Object.keys(card.securitySchemes as object);
    expect(schemes.length).toBeGreaterThan(0);
    for (const requirement of card.securityRequirements as { schemes: object }[]) {
      for (const name of Object.keys(requirement.schemes)) expect(schemes).toContain(name);
    }
  });

  it("is right about that in both of its forms: who goes by it is let in", async () => {
    const { text: apiKey } = await createApiKey(
      env.DB,
      { owner: crypto.randomUUID(), roles: ["user"], scopes: [], createdBy: "cli" },
      Date.now(),
    );
    const serve = serveWith({ authModes: ["api-key"] });
    const ask = (path: string, init: RequestInit) => serve(new Request(`${ORIGIN}${path}`, init));
    const opened = await ask("/a2a/auth", { method: "POST", headers: { "x-api-key": apiKey } });
    const { session } = await opened.json<{ session: string }>();
    const credentials: Record<string, string> = { bearer: apiKey, apiKey, session };
    const fetchImpl: typeof fetch = (input, init) => ask(new URL(String(input)).pathname, init ?? {});
    const legacy = await (await ask("/.well-known/agent.json", {})).json<Card>();
    const cards = {
      "1.0": await new DefaultAgentCardResolver({ fetchImpl }).resolve(ORIGIN),
      // A client of 0.3 does not look at the list of interfaces.
      "0.3": parseLegacyAgentCard({ ...legacy, supportedInterfaces: undefined }),
    };
    for (const [version, { securitySchemes, securityRequirements }] of Object.entries(cards)) {
      const names = securityRequirements.flatMap(({ schemes }) => Object.keys(schemes));
      expect(names.toSorted()).toEqual(["apiKey", "bearer", "session"]);
      for (const name of names) {
        const scheme = securitySchemes[name]?.scheme;
        const credential = credentials[name] ?? "";
        const headers = new Headers({ "a2a-version": "1.0" });
        let path = "/tasks";
        if (scheme?.$case === "httpAuthSecurityScheme") {
          headers.set("authorization", `${scheme.value.scheme} ${credential}`);
        } else if (scheme?.$case === "apiKeySecurityScheme") {
          const { location, name } = scheme.value;
          if (location === "header") headers.set(name, credential);
          else if (location === "query") path += `?${name}=${credential}`;
        }
        expect([version, name, (await ask(path, { headers })).status]).toEqual([version, name, 200]);
      }
    }
  });
});
