// Push notification configs over both bindings: what goes over the wire, also when it is hostile, and what a server
// says about them in its card.

import { describe, expect, it } from "vitest";
import { type OperationName, operations } from "../../src/protocol/operations.ts";
import { EVENT_NAMES, WEBHOOKS_EXTENSION } from "../../src/protocol/push-options.ts";
import { BINDINGS, over, request, toOutcome } from "../support/bindings.ts";
import { type Client, createClient, ORIGIN, toMessage } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

const CREATE = "CreateTaskPushNotificationConfig";
const GET = "GetTaskPushNotificationConfig";
const LIST = "ListTaskPushNotificationConfigs";
const DELETE = "DeleteTaskPushNotificationConfig";

const url = "https://hooks.example/a2a?key=1";
const activated = { "a2a-extensions": WEBHOOKS_EXTENSION };

/** A client with a task that has ended, so that no webhook is called. */
async function withTask(options: Parameters<typeof createClient>[0] = {}) {
  const client = createClient({ agent: "conformance", ...options });
  const { id: taskId } = await client.sendForTask("hello");
  return { client, taskId };
}

describe.each(BINDINGS)("over %s", (binding) => {
  const { ask, value, reason } = over(binding);

  it("a config is created, read, listed and deleted, with 200 each time", async () => {
    const { client, taskId } = await withTask();
    const config = { id: "my hook/1", taskId, url };
    const outcome = (result: unknown) => ({ status: 200, result });
    expect(await ask(client, CREATE, config)).toEqual(outcome(config));
    expect(await ask(client, GET, { taskId, id: config.id })).toEqual(outcome(config));
    expect(await ask(client, LIST, { taskId })).toEqual(outcome({ configs: [config], nextPageToken: "" }));
    expect(await ask(client, DELETE, { taskId, id: config.id })).toEqual(outcome({}));
    expect(await ask(client, DELETE, { taskId, id: config.id })).toEqual(outcome({}));
    expect(await ask(client, LIST, { taskId })).toEqual(outcome({ configs: [], nextPageToken: "" }));
    expect(await reason(client, GET, { taskId, id: config.id })).toBe("TASK_NOT_FOUND");
  });

  it("a list comes in pages", async () => {
    const { client, taskId } = await withTask();
    for (const id of ["a", "b", "c"]) await value(client, CREATE, { taskId, id, url });
    type Page = { configs: { id: string }[]; nextPageToken: string };
    const first = await value<Page>(client, LIST, { taskId, pageSize: 2 });
    expect(first.configs.map(({ id }) => id)).toEqual(["a", "b"]);
    const pageToken = first.nextPageToken;
    const second = await value<Page>(client, LIST, { taskId, pageSize: 2, pageToken });
    expect(second).toMatchObject({ configs: [{ id: "c" }], nextPageToken: "" });
    expect(await reason(client, LIST, { taskId, pageToken: `${pageToken}x` })).toBe("INVALID_PARAMS");
    for (const pageSize of [-1, 101, "many"]) {
      expect(await reason(client, LIST, { taskId, pageSize })).toBe("INVALID_PARAMS");
    }
  });

  it("our members are answered as they were set, and secrets as [redacted]", async () => {
    const { client, taskId } = await withTask();
    const config = {
      id: "c",
      taskId,
      url,
      events: ["completed"],
      batch: { maxEvents: 5 },
      retry: { delaysSeconds: [5, 60] },
      rateLimit: { perMinute: 30 },
      securityLevel: "high",
    };
    const authentication = { scheme: "Bearer", credentials: "credentials-shh" };
    const sent = {
      ...config,
      authentication,
      secret: "sixteen-chars-shh",
      headers: { "X-Key": "header-shh" },
    };
    const answer = {
      ...config,
      authentication: { scheme: "Bearer", credentials: "[redacted]" },
      secret: "[redacted]",
      headers: { "X-Key": "[redacted]" },
    };
    expect(await value(client, CREATE, sent)).toEqual(answer);
    expect(await value(client, GET, { taskId, id: "c" })).toEqual(answer);
    expect(await value(client, LIST, { taskId })).toEqual({ configs: [answer], nextPageToken: "" });
  });

  it("the extension is echoed when it is asked for, and brings the state of deliveries", async () => {
    const { client, taskId } = await withTask();
    const params = { taskId, id: "c" };
    const created = await request(binding, client, CREATE, { ...params, url }, activated);
    expect(created.headers.get("a2a-extensions")).toBe(WEBHOOKS_EXTENSION);
    const headers = { "a2a-extensions": `urn:other, ${WEBHOOKS_EXTENSION}` };
    const response = await request(binding, client, GET, params, headers);
    expect(response.headers.get("a2a-extensions")).toBe(WEBHOOKS_EXTENSION);
    expect(await toOutcome(binding, response)).toMatchObject({
      result: { id: "c", delivery: { state: "active", pending: 0 } },
    });
    const plain = await request(binding, client, GET, params);
    expect(plain.headers.get("a2a-extensions")).toBeNull();
    expect(await toOutcome(binding, plain)).toEqual({ status: 200, result: { id: "c", taskId, url } });
  });

  it("the extension is not echoed where push is off", async () => {
    const client = createClient({ agent: "conformance", fetch: serveWith({ pushNotifications: false }) });
    const response = await request(binding, client, "ListTasks", {}, activated);
    expect(response.headers.get("a2a-extensions")).toBeNull();
  });

  it("more than the deployment grants is a failure of its own", async () => {
    const { client, taskId } = await withTask({ fetch: serveWith({ webhookRatePerMinute: 10 }) });
    const outcome = await ask(client, CREATE, { taskId, url, rateLimit: { perMinute: 11 } });
    const code = binding === "JSON-RPC" ? -31_429 : 429;
    expect(outcome).toMatchObject({ reason: "RATE_LIMIT_EXCEEDED", code, status: 429 });
    expect(JSON.stringify(outcome)).toContain("rateLimit.perMinute");
  });

  describe("where webhooks must be public", () => {
    const strict = { fetch: serveWith({ allowPrivateWebhooks: false, publicUrl: "https://agents.example" }) };

    it.each([
      ["http://hooks.example/", "must be https"],
      ["https://127.0.0.1/", "must name its host instead of giving an IP address"],
      ["https://[::1]/", "must name its host instead of giving an IP address"],
      ["https://0x7f.1/", "must name its host instead of giving an IP address"],
      ["https://localhost/", "must have a host with a domain"],
      ["https://user:pass@hooks.example/", "must not contain a user name or password"],
      ["https://hooks.example:8080/", "must be at port 443 or 8443"],
      [`${ORIGIN}/`, "must not lead to this server"],
      ["https://agents.example/conformance", "must not lead to this server"],
      ["https://AGENTS.example./", "must not lead to this server"],
    ])("%s %s", async (bad, description) => {
      const { client, taskId } = await withTask(strict);
      const outcome = await ask(client, CREATE, { taskId, url: bad });
      const details = "details" in outcome ? outcome.details : [];
      const violations = details.flatMap((detail) => detail.fieldViolations ?? []);
      expect(violations).toEqual([{ field: "url", description }]);
    });

    it("others are taken", async () => {
      const { client, taskId } = await withTask(strict);
      expect(await value(client, CREATE, { taskId, id: "c", url })).toEqual({ id: "c", taskId, url });
    });
  });

  describe("hostile params", () => {
    const hostile: [string, object, string][] = [
      ["no url", { url: undefined }, "url"],
      ["an empty url", { url: "" }, "url"],
      ["a url that is a list", { url: [url] }, "url"],
      ["a url of rubbish", { url: "::::" }, "url"],
      ["a url of 3,000 characters", { url: `${url}${"x".repeat(3_000)}` }, "url"],
      ["a url with a line break", { url: `${url}\r\nHost: evil` }, "url"],
      ["a javascript url", { url: "javascript:alert(1)" }, "url"],
      ["a file url", { url: "file:///etc/passwd" }, "url"],
      ["half of a surrogate pair in the id", { id: "\ud800" }, "id"],
      ["control characters in the id", { id: "a\u0000b" }, "id"],
      ["an id of 513 characters", { id: "x".repeat(513) }, "id"],
      ["a token that is an object", { token: {} }, "token"],
      ["a token with a line break", { token: "a\r\nX-Evil: 1" }, "token"],
      ["authentication that is text", { authentication: "Bearer x" }, "authentication"],
      ["authentication without a scheme", { authentication: {} }, "authentication.scheme"],
      ["a scheme of two words", { authentication: { scheme: "Bearer x" } }, "authentication.scheme"],
      [
        "credentials with a line break",
        { authentication: { scheme: "Bearer", credentials: "x\n" } },
        "authentication.credentials",
      ],
      ["a header that is Host", { headers: { Host: "evil.example" } }, "headers.Host"],
      ["a header with a line break", { headers: { "X-A": "a\r\nb" } }, 'headers["X-A"]'],
      ["an event that does not exist", { events: ["exploded"] }, "events[0]"],
      ["a batch of a million", { batch: { maxEvents: 1_000_000 } }, "batch.maxEvents"],
      ["retries without end", { retry: { delaysSeconds: Array(1_000).fill(1) } }, "retry.delaysSeconds"],
      ["a tenant that nobody is", { tenant: "nobody" }, "tenant"],
    ];

    it.each(hostile)(
      "%s is refused by its path, in a message too, and nothing is kept",
      async (_, wrong, field) => {
        const { client, taskId } = await withTask();
        const fieldsOf = async (name: OperationName, params: object) => {
          const outcome = await ask(client, name, params);
          if (!("reason" in outcome)) throw new Error(`accepted: ${JSON.stringify(outcome)}`);
          expect(outcome.reason).toBe("INVALID_PARAMS");
          return outcome.details.flatMap(({ fieldViolations = [] }) =>
            fieldViolations.map((one) => one.field),
          );
        };
        expect(await fieldsOf(CREATE, { taskId, url, ...wrong })).toEqual([field]);
        expect(await value(client, LIST, { taskId })).toEqual({ configs: [], nextPageToken: "" });
        if (field === "tenant") return;
        const configuration = { taskPushNotificationConfig: { url, ...wrong } };
        expect(await fieldsOf("SendMessage", { message: toMessage("hello"), configuration })).toEqual([
          `configuration.taskPushNotificationConfig.${field}`,
        ]);
        expect((await client.list()).totalSize).toBe(1);
      },
    );

    it("a prototype is no config", async () => {
      const { client, taskId } = await withTask();
      const params = JSON.parse(`{"taskId":"${taskId}","__proto__":{"url":"${url}"}}`) as object;
      expect(await reason(client, CREATE, params)).toBe("INVALID_PARAMS");
      const headers = JSON.parse('{"__proto__":"x","constructor":"y"}') as object;
      const created = await value<{ headers: object }>(client, CREATE, { taskId, url, headers });
      expect(Object.keys(created.headers).toSorted()).toEqual(["__proto__", "constructor"]);
    });
  });
});

describe("HTTP+JSON", () => {
  const create = (client: Client, taskId: string, body: unknown) =>
    client.request(`/tasks/${taskId}/pushNotificationConfigs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });

  it("takes the task from the path; another one in the body is a mistake (§11.5)", async () => {
    const { client, taskId } = await withTask();
    expect(await (await create(client, taskId, { id: "c", url })).json()).toEqual({ id: "c", taskId, url });
    expect((await create(client, taskId, { taskId, url })).status).toBe(200);
    expect((await create(client, taskId, { task_id: "0-1", url })).status).toBe(400);
  });

  it("is served under the agent's path and its tenant's alike", async () => {
    const owner = "rest-paths";
    const { taskId } = await withTask({ owner });
    const root = createClient({ owner });
    const path = await root.request(`/conformance/tasks/${taskId}/pushNotificationConfigs`);
    expect(path.status).toBe(200);
    const elsewhere = await root.request(`/tasks/${taskId}/pushNotificationConfigs`);
    expect(elsewhere.status).toBe(404);
    const tenant = await root.request(`/tasks/${taskId}/pushNotificationConfigs?tenant=conformance`);
    expect(tenant.status).toBe(200);
  });

  it("answers in the media type of A2A unless JSON is asked for", async () => {
    const { client, taskId } = await withTask();
    const path = `/tasks/${taskId}/pushNotificationConfigs`;
    expect((await client.request(path)).headers.get("content-type")).toBe("application/a2a+json");
    const headers = { accept: "application/json" };
    expect((await client.request(path, { headers })).headers.get("content-type")).toBe("application/json");
  });
});

describe("the card", () => {
  type Card = {
    capabilities: { pushNotifications: boolean; extensions?: { uri: string; params?: object }[] };
  };
  const cardOf = async (settings: Parameters<typeof serveWith>[0]) =>
    (await createClient({ fetch: serveWith(settings) }).request("/.well-known/agent-card.json")).json<Card>();

  it("says that push notifications are served, and what the extension grants", async () => {
    const { capabilities } = await cardOf({
      webhookRatePerMinute: 100,
      webhookBurst: 10,
      publicUrl: "https://a.example",
    });
    expect(capabilities.pushNotifications).toBe(true);
    expect(capabilities.extensions).toEqual([
      {
        uri: WEBHOOKS_EXTENSION,
        description: expect.any(String),
        params: {
          events: EVENT_NAMES,
          signatures: ["v1", "v1a"],
          jwksUrl: "https://a.example/.well-known/jwks.json",
          authorization: ["authentication", "jwt", "oauth2"],
          batch: { maxEvents: 50, maxWaitMs: 2_000 },
          retry: {
            delaysSeconds: [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400],
            maxDelays: 20,
            maxSeconds: 604_800,
          },
          rateLimit: { perMinute: 100, burst: 10 },
          configsPerTask: 10,
          headers: 20,
          timeoutSeconds: 15,
          challenge: "warn",
        },
      },
    ]);
  });

  it("names no rate where there is no limit", async () => {
    const { capabilities } = await cardOf({});
    expect(capabilities.extensions?.[0]?.params).not.toHaveProperty("rateLimit");
  });

  it.each([
    [
      { webhookRatePerMinute: 100, webhookGlobalPerMinute: 50 },
      { perMinute: 50, burst: 10 },
    ],
    [{ webhookGlobalPerMinute: 1_000 }, { perMinute: 1_000 }],
  ])("names no higher rate than a config may ask for: of %j it is %j", async (settings, rateLimit) => {
    const { capabilities } = await cardOf({ webhookBurst: 10, ...settings });
    expect(capabilities.extensions?.[0]?.params).toHaveProperty("rateLimit", rateLimit);
  });

  it("says so when a deployment requires the extension, once", async () => {
    const { capabilities } = await cardOf({ requiredExtensions: [WEBHOOKS_EXTENSION, "urn:a"] });
    expect(capabilities.extensions).toMatchObject([
      { uri: "urn:a", required: true },
      { uri: WEBHOOKS_EXTENSION, required: true },
    ]);
  });

  it("leads to the keys that it names", async () => {
    const { capabilities } = await (
      await createClient().request("/.well-known/agent-card.json")
    ).json<Card>();
    const params = capabilities.extensions?.[0]?.params as { jwksUrl: string } | undefined;
    expect(params?.jwksUrl).toMatch(new RegExp(`^${ORIGIN}/`));
    const response = await createClient().request(params?.jwksUrl.slice(ORIGIN.length) ?? "");
    expect(await response.json()).toMatchObject({ keys: [{ kty: "OKP", crv: "Ed25519" }] });
  });
});

describe("the operations on configs", () => {
  it("are the four of the table whose names say so", () => {
    const names = Object.keys(operations).filter((name) => name.includes("PushNotificationConfig"));
    expect(names.toSorted()).toEqual([CREATE, GET, LIST, DELETE].toSorted());
  });
});
