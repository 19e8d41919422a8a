// The four operations on push notification configs and the config inside a message, on real homes: what they keep,
// what they tell, and to whom.

import { env, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import type { Deps } from "../../src/operations/index.ts";
import type { Scope } from "../../src/protocol/operations.ts";
import { WEBHOOKS_EXTENSION, type WebhookConfig } from "../../src/protocol/push-options.ts";
import type {
  ListTaskPushNotificationConfigsResponse,
  SendMessageResponse,
} from "../../src/protocol/requests.ts";
import { toMessage } from "../support/client.ts";
import { createOperations, type Operations } from "../support/operations.ts";

const CREATE = "CreateTaskPushNotificationConfig";
const GET = "GetTaskPushNotificationConfig";
const LIST = "ListTaskPushNotificationConfigs";
const DELETE = "DeleteTaskPushNotificationConfig";

const url = "https://hooks.example/a2a";
const MISSING = "0-018f0000-0000-7000-8000-000000000000";
/** Lets nothing through that the tasks of these tests do: no webhook is called. */
const events = ["authRequired" as const];

/** Everything that is secret about a config, and a config that has it. */
const secrets = ["token-shh", "credentials-shh", "signing-secret-shh", "header-shh"];
const secretive: WebhookConfig = {
  url,
  events,
  token: "token-shh",
  authentication: { scheme: "Bearer", credentials: "credentials-shh" },
  secret: "signing-secret-shh",
  headers: { "X-Key": "header-shh" },
};

async function newTask(on: Operations, text = "input", configuration?: object): Promise<string> {
  const params = { message: toMessage(text), ...(configuration && { configuration }) };
  const { task } = await on.value<SendMessageResponse>("SendMessage", params);
  if (!task) throw new Error("answered without a task");
  return task.id;
}

const create = (on: Operations, taskId: string, config: Partial<WebhookConfig> = {}) =>
  on.value<WebhookConfig & { id: string }>(CREATE, { taskId, url, ...config });

async function list(on: Operations, taskId: string, params: object = {}) {
  return on.value<ListTaskPushNotificationConfigsResponse>(LIST, { taskId, ...params });
}

async function idsOf(on: Operations, taskId: string): Promise<(string | undefined)[]> {
  return (await list(on, taskId)).configs?.map(({ id }) => id) ?? [];
}

describe("creating a config (§3.1.7)", () => {
  it("answers with it and the id it was given, and so do get and list", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    const created = await create(on, taskId, { id: "mine" });
    expect(created).toEqual({ id: "mine", taskId, url });
    expect(await on.value(GET, { taskId, id: "mine" })).toEqual(created);
    expect(await list(on, taskId)).toEqual({ configs: [created], nextPageToken: "" });
  });

  it("gives it an id where it has none, another one each time", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    const ids = [(await create(on, taskId)).id, (await create(on, taskId, { id: "" })).id];
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(new Set(ids).size).toBe(2);
    expect(await idsOf(on, taskId)).toEqual(ids.toSorted());
  });

  it("replaces the one of that id, with all it had", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    await create(on, taskId, { id: "c", token: "t", events });
    const replaced = await create(on, taskId, { id: "c", url: "https://other.example/" });
    expect(replaced).toEqual({ id: "c", taskId, url: "https://other.example/" });
    expect(await list(on, taskId)).toEqual({ configs: [replaced], nextPageToken: "" });
  });

  it.each(["hello", "throw"])("is taken for a task that has ended, too: %s", async (text) => {
    const on = createOperations();
    const taskId = await newTask(on, text);
    await create(on, taskId, { id: "c" });
    expect(await idsOf(on, taskId)).toEqual(["c"]);
  });

  it("answers with the tenant if it came with one", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    expect(await create(on, taskId, { id: "c", tenant: "conformance" })).toMatchObject({
      tenant: "conformance",
    });
  });

  it("is refused field by field, and nothing is kept", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    const failure = await on.failure(CREATE, { taskId, url: "ftp://hooks.example", token: "a\nb" });
    expect(failure.reason).toBe("INVALID_PARAMS");
    expect(failure.violations?.map(({ field }) => field)).toEqual(["url", "token"]);
    expect(await idsOf(on, taskId)).toEqual([]);
  });

  it.each([".", ".."])("is refused under the id %s, which no URL can hold", async (id) => {
    const on = createOperations();
    const taskId = await newTask(on);
    const url = "https://hooks.example/a2a";
    const failure = await on.failure(CREATE, { taskId, id, url });
    expect(failure.violations).toEqual([{ field: "id", description: expect.stringContaining("URL") }]);
    expect(await on.value(CREATE, { taskId, id: "...", url })).toMatchObject({ taskId });
  });

  it("is refused when it asks for more than the deployment grants (RATE_LIMIT_EXCEEDED)", async () => {
    const on = createOperations({ settings: { webhookRatePerMinute: 10 } });
    const taskId = await newTask(on);
    const failure = await on.failure(CREATE, { taskId, url, rateLimit: { perMinute: 11 } });
    expect(failure).toMatchObject({
      reason: "RATE_LIMIT_EXCEEDED",
      violations: [{ field: "rateLimit.perMinute", description: "must be at most 10 here" }],
    });
    expect(await create(on, taskId, { rateLimit: { perMinute: 10 } })).toMatchObject({ url });
  });

  it("is refused when the task has as many as it may, unless it replaces one", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    const most = on.deps.config.webhookConfigsPerTask;
    for (let n = 0; n < most; n++) await create(on, taskId, { id: `c${n}` });
    const failure = await on.failure(CREATE, { taskId, url });
    expect(failure.reason).toBe("INVALID_PARAMS");
    expect(failure.violations?.[0]?.description).toContain(`at most ${most}`);
    await create(on, taskId, { id: "c0", token: "t" });
    await on.run(DELETE, { taskId, id: "c1" });
    await create(on, taskId, { id: "another" });
    expect(await idsOf(on, taskId)).toHaveLength(most);
  });
});

describe("getting a config (§3.1.8)", () => {
  it("is TaskNotFound for a config that does not exist, as for a task", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    for (const params of [
      { taskId, id: "c" },
      { taskId: MISSING, id: "c" },
    ]) {
      expect((await on.failure(GET, params)).reason).toBe("TASK_NOT_FOUND");
    }
  });

  it("finds a config by the id of its own task only", async () => {
    const on = createOperations();
    const [one, two] = [await newTask(on), await newTask(on)];
    await create(on, one, { id: "c" });
    expect((await on.failure(GET, { taskId: two, id: "c" })).reason).toBe("TASK_NOT_FOUND");
    await on.run(DELETE, { taskId: two, id: "c" });
    expect(await idsOf(on, one)).toEqual(["c"]);
  });

  it.each(["a/b", "ü 😀", "%2e%2e", "'; DROP TABLE configs; --", "__proto__", "x".repeat(512)])(
    "works with the id %s",
    async (id) => {
      const on = createOperations();
      const taskId = await newTask(on);
      await create(on, taskId, { id });
      expect(await on.value(GET, { taskId, id })).toEqual({ id, taskId, url });
      expect(await idsOf(on, taskId)).toEqual([id]);
    },
  );
});

describe("how deliveries fare", () => {
  const activated = { extensions: [WEBHOOKS_EXTENSION] };

  it("is told in get and list to a client that has activated the extension, and to no other", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    const created = await create(on, taskId, { id: "c", events });
    const told = {
      ...created,
      delivery: {
        state: "active",
        stateAt: expect.stringMatching(/^\d{4}-.*Z$/),
        pending: 0,
        attempt: 0,
        delivered: 0,
        dead: 0,
      },
    };
    expect(await on.value(GET, { taskId, id: "c" }, activated)).toEqual(told);
    expect(await on.value(LIST, { taskId }, activated)).toEqual({ configs: [told], nextPageToken: "" });
    const others = { extensions: ["https://other.example/ext"] };
    expect(await on.value(GET, { taskId, id: "c" }, others)).toEqual(created);
  });

  it("is told with times as text, and without what there is none of", async () => {
    const at = Date.UTC(2026, 0, 31, 12);
    const view = {
      answer: { id: "c", taskId: MISSING, url },
      health: {
        state: "disabled",
        reason: "gone",
        stateAt: at,
        pending: 3,
        oldestPendingAt: at,
        nextAttemptAt: null,
        attempt: 4,
        delivered: 5,
        dead: 6,
        failingSince: at,
        lastAttemptAt: at,
        lastStatus: 410,
        lastError: null,
      },
    };
    const home = { getPushConfig: async () => ({ ok: true, value: view }) };
    const homes = { idFromName: () => ({}), get: () => home } as unknown as Deps["homes"];
    const text = "2026-01-31T12:00:00.000Z";
    expect(await createOperations({ homes }).value(GET, { taskId: MISSING, id: "c" }, activated)).toEqual({
      ...view.answer,
      delivery: {
        state: "disabled",
        reason: "gone",
        stateAt: text,
        pending: 3,
        oldestPendingAt: text,
        attempt: 4,
        delivered: 5,
        dead: 6,
        failingSince: text,
        lastAttemptAt: text,
        lastStatus: 410,
      },
    });
  });
});

describe("listing configs (§3.1.9)", () => {
  const ids = ["a", "b", "Z", "ä", "😀", "\uffee", "10", "9"].toSorted();

  async function withConfigs() {
    const on = createOperations();
    const taskId = await newTask(on);
    for (const id of ids) await create(on, taskId, { id });
    return { on, taskId };
  }

  it("answers with all of them unless pages are asked for", async () => {
    const { on, taskId } = await withConfigs();
    expect(await idsOf(on, taskId)).toEqual(ids);
    expect((await list(on, taskId, { pageSize: 0 })).configs).toHaveLength(ids.length);
  });

  it.each([1, 3, 7, 8, 100])(
    "gives each once in pages of %i, and an empty token with the last",
    async (pageSize) => {
      const { on, taskId } = await withConfigs();
      const seen: (string | undefined)[] = [];
      let pages = 0;
      let pageToken = "";
      do {
        const page = await list(on, taskId, { pageSize, pageToken });
        seen.push(...(page.configs ?? []).map(({ id }) => id));
        pageToken = page.nextPageToken ?? "absent";
        pages += 1;
      } while (pageToken !== "" && pages < 20);
      expect(seen).toEqual(ids);
      expect(pages).toBe(Math.ceil(ids.length / pageSize));
    },
  );

  it("goes on after a config that was deleted meanwhile", async () => {
    const { on, taskId } = await withConfigs();
    const { configs, nextPageToken: pageToken } = await list(on, taskId, { pageSize: 2 });
    await on.run(DELETE, { taskId, id: configs?.at(-1)?.id });
    const rest = await list(on, taskId, { pageToken });
    expect(rest.configs?.map(({ id }) => id)).toEqual(ids.slice(2));
  });

  it("is empty for a task without any", async () => {
    const on = createOperations();
    expect(await list(on, await newTask(on))).toEqual({ configs: [], nextPageToken: "" });
  });

  it("is TaskNotFound for a task that does not exist", async () => {
    expect((await createOperations().failure(LIST, { taskId: MISSING })).reason).toBe("TASK_NOT_FOUND");
  });

  it("refuses the token of another list", async () => {
    const { on, taskId } = await withConfigs();
    const { nextPageToken: pageToken } = await list(on, taskId, { pageSize: 1 });
    const failure = await on.failure(LIST, { taskId: await newTask(on), pageToken });
    expect(failure.violations).toEqual([
      { field: "pageToken", description: "was made for a list with other filters" },
    ]);
  });

  it.each([
    "!!!",
    "Z2FyYmFnZQ",
    btoa('["a"]').replaceAll("=", ""),
    btoa('[1,"x"]').replaceAll("=", ""),
    btoa("{}").replaceAll("=", ""),
  ])("refuses the token %s", async (pageToken) => {
    const on = createOperations();
    const failure = await on.failure(LIST, { taskId: await newTask(on), pageToken });
    expect(failure.violations).toEqual([{ field: "pageToken", description: "was not made by this server" }]);
  });
});

describe("deleting a config (§3.1.10)", () => {
  it("answers with nothing, as often as it is asked, and leaves the others", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    await create(on, taskId, { id: "c" });
    await create(on, taskId, { id: "d" });
    for (let n = 0; n < 3; n++) expect(await on.value(DELETE, { taskId, id: "c" })).toEqual({});
    expect(await on.value(DELETE, { taskId, id: "never" })).toEqual({});
    expect(await idsOf(on, taskId)).toEqual(["d"]);
    expect((await on.failure(GET, { taskId, id: "c" })).reason).toBe("TASK_NOT_FOUND");
  });

  it("lets the same id be created anew", async () => {
    const on = createOperations();
    const taskId = await newTask(on);
    await create(on, taskId, { id: "c", token: "t" });
    await on.run(DELETE, { taskId, id: "c" });
    expect(await create(on, taskId, { id: "c" })).toEqual({ id: "c", taskId, url });
  });

  it("is TaskNotFound for a task that does not exist", async () => {
    const on = createOperations();
    expect((await on.failure(DELETE, { taskId: MISSING, id: "c" })).reason).toBe("TASK_NOT_FOUND");
  });
});

describe("a config in a message (§3.2.2)", () => {
  const inline = (config: object) => ({ taskPushNotificationConfig: { url, events, ...config } });

  it("is one of the task that the message makes, whatever task and tenant it names itself", async () => {
    const on = createOperations();
    const taskId = await newTask(on, "input", inline({ id: "c", taskId: "another", tenant: "echo" }));
    expect(await on.value(GET, { taskId, id: "c" })).toEqual({ id: "c", taskId, url, events });
  });

  it.each(["c", "d"])("is one of the task that the message belongs to, with the id %s", async (id) => {
    const on = createOperations();
    const taskId = await newTask(on, "input", inline({ id: "c" }));
    const message = { ...toMessage("go on"), taskId };
    await on.run("SendMessage", { message, configuration: inline({ id, token: "t" }) });
    expect(await on.value(GET, { taskId, id })).toMatchObject({ id, token: "[redacted]" });
    expect(await idsOf(on, taskId)).toEqual(id === "c" ? ["c"] : ["c", "d"]);
  });

  it("comes with a stream as well", async () => {
    const on = createOperations();
    const params = { message: toMessage("hello"), configuration: inline({ id: "c" }) };
    const answer = await on.run("SendStreamingMessage", params);
    if (answer.kind !== "stream") throw new Error("no stream");
    const [, first = ""] = (await new Response(answer.lines).text()).split("\n")[0]?.split(/ (.*)/) ?? [];
    const { task } = JSON.parse(first) as { task: { id: string } };
    expect(await idsOf(on, task.id)).toEqual(["c"]);
  });

  it("of a message that is answered with a message goes nowhere", async () => {
    const on = createOperations();
    const params = { message: toMessage("message"), configuration: inline({}) };
    expect(await on.value("SendMessage", params)).toHaveProperty("message");
  });

  it("is refused below its path, and nothing starts", async () => {
    const on = createOperations({ settings: { webhookRatePerMinute: 10, webhookGlobalPerMinute: 0 } });
    const message = toMessage("hello");
    const path = "configuration.taskPushNotificationConfig";
    for (const [config, reason, field] of [
      [{ url: "ftp://x.example" }, "INVALID_PARAMS", `${path}.url`],
      [{ jwt: true, authentication: { scheme: "Bearer" } }, "INVALID_PARAMS", `${path}.jwt`],
      [{ rateLimit: { perMinute: 11 } }, "RATE_LIMIT_EXCEEDED", `${path}.rateLimit.perMinute`],
    ] as const) {
      const failure = await on.failure("SendMessage", { message, configuration: inline(config) });
      expect(failure).toMatchObject({ reason, violations: [{ field }] });
    }
    expect(await on.value("ListTasks", {})).toMatchObject({ totalSize: 0 });
  });

  it("needs the scope of creating one", async () => {
    const on = createOperations();
    const params = { message: toMessage("hello"), configuration: inline({}) };
    for (const name of ["SendMessage", "SendStreamingMessage"] as const) {
      const caller = {
        owner: on.owner,
        actor: on.owner,
        adminScopes: new Set<never>(),
        scopes: new Set<Scope>(["task:write", "task:read", "push:read"]),
      };
      expect(await on.failure(name, params, { caller })).toMatchObject({
        reason: "PERMISSION_DENIED",
        metadata: { scope: "push:write" },
      });
    }
    expect(await on.value("ListTasks", {})).toMatchObject({ totalSize: 0 });
    const caller = {
      owner: on.owner,
      actor: on.owner,
      adminScopes: new Set<never>(),
      scopes: new Set<Scope>(["task:write", "push:write"]),
    };
    expect(await on.value("SendMessage", params, { caller })).toHaveProperty("task");
  });
});

describe("secrets", () => {
  it("are in no answer of any operation", async () => {
    const on = createOperations();
    const oauth2 = { tokenUrl: "https://login.example/t", clientId: "c", clientSecret: "oauth-secret-shh" };
    const taskId = await newTask(on, "input", { taskPushNotificationConfig: { ...secretive, id: "inline" } });
    const answers = [
      await create(on, taskId, { ...secretive, id: "c" }),
      await create(on, taskId, { id: "o", events, oauth2 }),
      await on.value(GET, { taskId, id: "c" }),
      await on.value(GET, { taskId, id: "inline" }, { extensions: [WEBHOOKS_EXTENSION] }),
      await list(on, taskId),
      await on.failure(CREATE, { taskId, ...secretive, id: "d", url: "http://x", token: "token-shh\n" }),
      await on.value("GetTask", { id: taskId }),
    ];
    for (const secret of [...secrets, "oauth-secret-shh"])
      expect(JSON.stringify(answers)).not.toContain(secret);
    expect(JSON.stringify(answers[0])).toContain("[redacted]");
  });

  it("are nowhere in the home's database", async () => {
    const on = createOperations();
    const taskId = await newTask(on, "input", { taskPushNotificationConfig: { ...secretive, batch: true } });
    await create(on, taskId, { ...secretive, id: "c" });
    const home = env.HOMES.get(env.HOMES.idFromName(`${on.owner}/0`));
    const everything = await runInDurableObject(home, (_, { storage: { sql } }) => {
      const tables = sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
        .toArray();
      const own = tables.filter(({ name }) => !name.startsWith("_cf"));
      return own.map(({ name }) => JSON.stringify(sql.exec(`SELECT * FROM "${name}"`).toArray())).join("\n");
    });
    expect(everything).toContain("https://hooks.example/a2a");
    for (const secret of secrets) expect(everything).not.toContain(secret);
  });
});

describe("a deployment", () => {
  it("without push notifications refuses all four, and a config in a message (§3.3.4)", async () => {
    const on = createOperations({ settings: { pushNotifications: false } });
    const taskId = await newTask(on);
    const asked = [
      [CREATE, { taskId, url: "not even a URL" }],
      [GET, { taskId, id: "c" }],
      [LIST, { taskId }],
      [DELETE, { taskId, id: "c" }],
      ["SendMessage", { message: toMessage("x"), configuration: { taskPushNotificationConfig: { url } } }],
    ] as const;
    for (const [name, params] of asked) {
      expect((await on.failure(name, params)).reason, name).toBe("PUSH_NOTIFICATION_NOT_SUPPORTED");
    }
  });

  it("that requires the challenge takes a config only when its receiver has passed it", async () => {
    const asked: string[][] = [];
    let passes = false;
    const on = createOperations({
      settings: { webhookChallenge: "required" },
      challenge: async (...args) => {
        asked.push(args);
        return passes;
      },
    });
    const taskId = await newTask(on);
    const description = "must belong to a receiver that echoes the challenge, which it did not";
    expect((await on.failure(CREATE, { taskId, url, id: "c" })).violations).toEqual([
      { field: "url", description },
    ]);
    const params = {
      message: toMessage("x"),
      configuration: { taskPushNotificationConfig: { url, events } },
    };
    expect((await on.failure("SendMessage", params)).violations).toEqual([
      { field: "configuration.taskPushNotificationConfig.url", description },
    ]);
    expect(await idsOf(on, taskId)).toEqual([]);
    passes = true;
    await create(on, taskId, { id: "c" });
    expect(await idsOf(on, taskId)).toEqual(["c"]);
    expect(asked).toEqual(Array(3).fill([`${on.owner}|https://hooks.example`, url]));
  });

  it.each(["off", "warn"] as const)("whose challenge is %s asks for none", async (webhookChallenge) => {
    const on = createOperations({
      settings: { webhookChallenge },
      challenge: () => Promise.reject(new Error("a receiver was asked")),
    });
    expect(await create(on, await newTask(on), { id: "c" })).toMatchObject({ id: "c" });
  });

  it("of several shards finds the config where its task is", async () => {
    const on = createOperations({ settings: { homeShards: 8 } });
    const tasks = await Promise.all(Array.from({ length: 16 }, () => newTask(on)));
    expect(new Set(tasks.map((id) => id.split("-")[0])).size).toBeGreaterThan(1);
    for (const taskId of tasks) {
      await create(on, taskId, { id: "c", token: taskId });
      expect(await idsOf(on, taskId)).toEqual(["c"]);
    }
  });

  it("touches no home for a task of a shard that does not exist", async () => {
    const homes = new Proxy({} as Deps["homes"], {
      get: () => () => {
        throw new Error("a home was touched");
      },
    });
    const on = createOperations({ homes });
    const taskId = MISSING.replace("0-", "5-");
    for (const [name, params] of [
      [CREATE, { url }],
      [GET, { id: "c" }],
      [LIST, {}],
      [DELETE, { id: "c" }],
    ] as const) {
      expect((await on.failure(name, { taskId, ...params })).reason, name).toBe("TASK_NOT_FOUND");
    }
  });
});

describe("a call whose answer was lost", () => {
  it("is made again with the very config that was prepared the first time", async () => {
    const configs: StoredConfig[] = [];
    const home = {
      async setPushConfig({ config }: { config: StoredConfig }) {
        configs.push(config);
        if (configs.length === 1) throw Object.assign(new Error("lost"), { retryable: true });
        return { ok: true, value: config.answer };
      },
    };
    const homes = { idFromName: () => ({}), get: () => home } as unknown as Deps["homes"];
    const answer = await createOperations({ homes }).value(CREATE, { taskId: MISSING, url });
    expect(configs).toHaveLength(2);
    expect(configs[1]).toBe(configs[0]);
    expect(answer).toEqual(configs[0]?.answer);
  });
});
