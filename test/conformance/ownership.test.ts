// Two callers who guess each other's ids, through the front door: every operation of the table, in every version, over
// every binding. A guess that hits is answered as one that misses, to the letter, and changes nothing.
//
// Tasks, contexts and configs each have ids; which of them an operation takes is a column of the table below. The
// compiler asks for all operations and all versions.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type OperationName, operations } from "../../src/protocol/operations.ts";
import type { Version } from "../../src/protocol/version.ts";
import { type Client, createClient } from "../support/client.ts";

type Kind = "task" | "context" | "config";
type Ids = Partial<Record<Kind, string>>;

/** The ids that an operation takes. */
const kinds = {
  SendMessage: ["task", "context"],
  SendStreamingMessage: ["task", "context"],
  GetTask: ["task"],
  ListTasks: ["context"],
  CancelTask: ["task"],
  SubscribeToTask: ["task"],
  CreateTaskPushNotificationConfig: ["task"],
  GetTaskPushNotificationConfig: ["task", "config"],
  ListTaskPushNotificationConfigs: ["task"],
  DeleteTaskPushNotificationConfig: ["task", "config"],
  GetExtendedAgentCard: [],
} satisfies Record<OperationName, Kind[]>;

type Forms = Record<OperationName, (ids: Ids) => Record<string, unknown>>;

const url = "https://hooks.example/a2a";
const named = ({ task, context }: Ids) => ({
  messageId: "m",
  ...(task !== undefined && { taskId: task }),
  ...(context !== undefined && { contextId: context }),
});

const currentSend = (ids: Ids) => ({
  message: { ...named(ids), role: "ROLE_USER", parts: [{ text: "hello" }] },
});
const current: Forms = {
  SendMessage: currentSend,
  SendStreamingMessage: currentSend,
  GetTask: ({ task }) => ({ id: task }),
  ListTasks: ({ context }) => ({ contextId: context }),
  CancelTask: ({ task }) => ({ id: task }),
  SubscribeToTask: ({ task }) => ({ id: task }),
  CreateTaskPushNotificationConfig: ({ task, config = "c" }) => ({ taskId: task, id: config, url }),
  GetTaskPushNotificationConfig: ({ task, config = "c" }) => ({ taskId: task, id: config }),
  ListTaskPushNotificationConfigs: ({ task }) => ({ taskId: task }),
  DeleteTaskPushNotificationConfig: ({ task, config = "c" }) => ({ taskId: task, id: config }),
  GetExtendedAgentCard: () => ({}),
};

const legacySend = (ids: Ids) => ({
  message: { ...named(ids), role: "user", parts: [{ kind: "text", text: "hello" }] },
  configuration: { blocking: true },
});
const legacy: Forms = {
  SendMessage: legacySend,
  SendStreamingMessage: legacySend,
  GetTask: ({ task }) => ({ id: task }),
  ListTasks: ({ context }) => ({ contextId: context }),
  CancelTask: ({ task }) => ({ id: task }),
  SubscribeToTask: ({ task }) => ({ id: task }),
  CreateTaskPushNotificationConfig: ({ task, config = "c" }) => ({
    taskId: task,
    pushNotificationConfig: { id: config, url },
  }),
  GetTaskPushNotificationConfig: ({ task, config = "c" }) => ({ id: task, pushNotificationConfigId: config }),
  ListTaskPushNotificationConfigs: ({ task }) => ({ id: task }),
  DeleteTaskPushNotificationConfig: ({ task, config = "c" }) => ({
    id: task,
    pushNotificationConfigId: config,
  }),
  GetExtendedAgentCard: () => ({}),
};

const protoSend = (ids: Ids) => ({
  message: { ...named(ids), role: "ROLE_USER", content: [{ text: "hello" }] },
  configuration: { blocking: true },
});

let chosen = 0;
/** A session is named beside a task of one's own. */
const oldestSend = ({ task = `chosen-${++chosen}`, context }: Ids) => ({
  id: task,
  ...(context !== undefined && { sessionId: context }),
  message: { role: "user", parts: [{ type: "text", text: "hello" }] },
});
const oldest: Partial<Forms> = {
  SendMessage: oldestSend,
  SendStreamingMessage: oldestSend,
  GetTask: ({ task }) => ({ id: task }),
  CancelTask: ({ task }) => ({ id: task }),
  SubscribeToTask: ({ task }) => ({ id: task }),
  CreateTaskPushNotificationConfig: ({ task }) => ({ id: task, pushNotificationConfig: { url } }),
  GetTaskPushNotificationConfig: ({ task }) => ({ id: task }),
};
const oldestMethods: Partial<Record<OperationName, string>> = {
  SendMessage: "tasks/send",
  SendStreamingMessage: "tasks/sendSubscribe",
  CreateTaskPushNotificationConfig: "tasks/pushNotification/set",
  GetTaskPushNotificationConfig: "tasks/pushNotification/get",
};

type Dialect = {
  method(name: OperationName): string;
  rpc: Partial<Forms>;
  http?: {
    /** What stands in the path may stand in the body too. */
    bodies: Forms;
    path(name: OperationName, path: string): string;
  };
};

const dialects: Record<Version, Dialect> = {
  "1.0": { method: (name) => name, rpc: current, http: { bodies: current, path: (_, path) => path } },
  "0.3": {
    method: (name) => operations[name].legacy,
    rpc: legacy,
    http: {
      bodies: {
        ...current,
        SendMessage: protoSend,
        SendStreamingMessage: protoSend,
        CreateTaskPushNotificationConfig: ({ task, config = "c" }) => ({
          name: `tasks/${task}/pushNotificationConfigs/${config}`,
          pushNotificationConfig: { id: config, url },
        }),
      },
      path: (name, path) => (name === "GetExtendedAgentCard" ? "/v1/card" : `/v1${path}`),
    },
  },
  "0.1": { method: (name) => oldestMethods[name] ?? operations[name].legacy, rpc: oldest },
};

type Way = {
  title: string;
  version: Version;
  name: OperationName;
  call(client: Client, ids: Ids): Promise<Response>;
};

function waysOf(version: Version, name: OperationName): Way[] {
  const { method, rpc, http } = dialects[version];
  const header = { "a2a-version": version };
  const form = rpc[name];
  if (form === undefined) return [];
  const overRpc: Way = {
    title: `${method(name)} of ${version}`,
    version,
    name,
    call: (client, ids) => client.rpc(method(name), form(ids), header),
  };
  if (http === undefined) return [overRpc];
  const { bodies, path } = http;
  const overRest = operations[name].rest.map((binding): Way => {
    return {
      title: `${binding.verb} ${path(name, binding.path)}`,
      version,
      name,
      call(client, ids) {
        const variables: Record<string, unknown> = current[name](ids);
        const filled = path(name, binding.path).replace(/\{(\w+)\}/g, (_, field: string) =>
          encodeURIComponent(String(variables[field])),
        );
        const query = name === "ListTasks" ? `?contextId=${encodeURIComponent(ids.context ?? "")}` : "";
        return client.request(`${filled}${query}`, {
          method: binding.verb,
          headers: { ...header, "content-type": "application/json" },
          ...(binding.verb === "POST" && { body: JSON.stringify(bodies[name](ids)) }),
        });
      },
    };
  });
  return [overRpc, ...overRest];
}

const names = Object.keys(operations) as OperationName[];
const ways = (Object.keys(dialects) as Version[]).flatMap((version) =>
  names.flatMap((name) => waysOf(version, name)),
);
const guesses = ways
  .flatMap((way) => kinds[way.name].map((kind) => ({ ...way, kind })))
  // The one config of a task has no id there.
  .filter(({ version, kind }) => version !== "0.1" || kind !== "config");

const newClient = () => createClient({ agent: "conformance" });

/** All that a client sees of an answer, less what is new in every answer. */
async function seen(response: Response, ids: Ids): Promise<string> {
  const headers = [...response.headers].filter(([name]) => name !== "x-request-id" && name !== "date");
  let text = `${response.status} ${JSON.stringify(headers)} ${await response.text()}`;
  for (const id of Object.values(ids)) text = text.replaceAll(id, "<guess>");
  return text
    .replace(/\d-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>")
    .replace(/chosen-\d+/g, "<id>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>");
}

/** Everything an owner has, as its own client sees it. */
async function stateOf(client: Client): Promise<unknown> {
  const { tasks } = await client.list({ includeArtifacts: true });
  const configs = tasks.map(({ id }) => client.result("ListTaskPushNotificationConfigs", { taskId: id }));
  return { tasks, configs: await Promise.all(configs) };
}

/** An id of the same form that nothing has. */
const missing = (like: string) => `${like.slice(0, -4)}${like.endsWith("ffff") ? "0000" : "ffff"}`;

// Nobody is behind the webhooks.
beforeEach(() => {
  vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response(null, { status: 503 }));
  vi.spyOn(console, "log").mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

describe.each(guesses)("$title with a $kind of somebody else's", ({ kind, call }) => {
  it("answers as if there were none, and changes nothing", async () => {
    const theirs = newClient();
    const task = await theirs.sendForTask("input");
    const secret = "config-of-mine-0001";
    const config = { taskId: task.id, id: secret, url: "https://theirs.example/hook" };
    await theirs.result("CreateTaskPushNotificationConfig", config);
    const before = await stateOf(theirs);

    const mine = newClient();
    // A config can only be guessed at a task of one's own; for the rest one needs nothing.
    const own = kind === "config" ? { task: (await mine.sendForTask("input")).id } : {};
    const hit = { task: task.id, context: task.contextId ?? "", config: secret }[kind];
    const miss = missing(hit);
    const answers = [];
    for (const guess of [hit, miss]) {
      const ids = { ...own, [kind]: guess };
      answers.push(await seen(await call(mine, ids), ids));
    }
    expect(answers[0]).toBe(answers[1]);
    expect(answers[0]).not.toContain("theirs.example");
    expect(await stateOf(theirs)).toEqual(before);
  });
});

describe("these guesses", () => {
  it("are made at every operation that takes an id, in every version, over every binding", () => {
    const asked = new Set(guesses.map(({ name }) => name));
    expect(names.filter((name) => !asked.has(name))).toEqual(["GetExtendedAgentCard"]);
    // Eleven methods and twelve paths each in 1.0 and 0.3, and the seven methods of 0.1.
    expect(ways).toHaveLength(2 * 23 + 7);
  });

  it.each(guesses.filter(({ kind }) => kind === "task"))(
    "would hit: $title lets the owner through",
    async ({ name, call }) => {
      const mine = newClient();
      const { id } = await mine.sendForTask("input");
      for (const config of ["c", "default"]) {
        await mine.result("CreateTaskPushNotificationConfig", { taskId: id, id: config, url });
      }
      const response = await call(mine, { task: id });
      expect(response.status).toBe(200);
      // A subscription stays open while the task waits.
      if (name === "SubscribeToTask") await response.body?.cancel();
      else expect(await response.text()).not.toMatch(/"error"|"code"/);
    },
  );
});
