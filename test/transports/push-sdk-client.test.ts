// The official client's four calls on push notification configs, over both bindings, and the webhook it puts into a
// message by itself.

import { TaskPushNotificationConfig } from "@a2a-js/sdk";
import { type Client, withA2AExtensions } from "@a2a-js/sdk/client";
import { RequestMalformedError, TaskNotFoundError } from "@a2a-js/sdk/errors";
import { afterEach, describe, expect, it, vi } from "vitest";
import { WEBHOOKS_EXTENSION } from "../../src/protocol/push-options.ts";
import { BINDINGS, connect, saying, task } from "../support/sdk.ts";

const url = "https://hooks.example/a2a";
const MISSING = "0-018f0000-0000-7000-8000-000000000000";

afterEach(() => void vi.restoreAllMocks());

const newTask = async (client: Client, text = "hello", configuration?: object) =>
  (await task(client, saying(text, {}, configuration))).id;

const configOf = (config: object) => TaskPushNotificationConfig.fromJSON({ url, ...config });
const everything = { tenant: "", pageSize: 0, pageToken: "" };

describe.each(BINDINGS)("the official client over %s", (binding) => {
  it("creates, gets, lists and deletes configs, the last as often as it likes", async () => {
    const client = await connect({ binding });
    const taskId = await newTask(client);
    const authentication = { scheme: "Bearer", credentials: "credentials-shh" };
    const created = await client.createTaskPushNotificationConfig(
      configOf({ id: "c", taskId, token: "token-shh", authentication }),
    );
    expect(created).toEqual(
      configOf({
        id: "c",
        taskId,
        token: "[redacted]",
        authentication: { scheme: "Bearer", credentials: "[redacted]" },
      }),
    );
    const named = { tenant: "", taskId, id: "c" };
    expect(await client.getTaskPushNotificationConfig(named)).toEqual(created);
    const other = await client.createTaskPushNotificationConfig(configOf({ taskId }));
    expect(other.id).not.toBe("");
    const listed = await client.listTaskPushNotificationConfig({ ...everything, taskId });
    expect(listed.configs.map(({ id }) => id).toSorted()).toEqual(["c", other.id].toSorted());
    expect(listed.nextPageToken).toBe("");
    for (let n = 0; n < 2; n++) await client.deleteTaskPushNotificationConfig(named);
    await expect(client.getTaskPushNotificationConfig(named)).rejects.toBeInstanceOf(TaskNotFoundError);
    const left = await client.listTaskPushNotificationConfig({ ...everything, taskId });
    expect(left.configs).toEqual([other]);
  });

  it("may use ids that need escaping in a path", async () => {
    const client = await connect({ binding });
    const taskId = await newTask(client);
    for (const id of ["a/b", "ü?#%", "x y"]) {
      await client.createTaskPushNotificationConfig(configOf({ id, taskId }));
      const named = { tenant: "", taskId, id };
      expect((await client.getTaskPushNotificationConfig(named)).id).toBe(id);
      await client.deleteTaskPushNotificationConfig(named);
    }
    expect((await client.listTaskPushNotificationConfig({ ...everything, taskId })).configs).toEqual([]);
  });

  it("is told by name that a task is not there, and that a config is malformed", async () => {
    const client = await connect({ binding });
    const named = { tenant: "", taskId: MISSING, id: "c" };
    for (const ask of [
      () => client.createTaskPushNotificationConfig(configOf(named)),
      () => client.getTaskPushNotificationConfig(named),
      () => client.listTaskPushNotificationConfig({ ...everything, taskId: MISSING }),
      () => client.deleteTaskPushNotificationConfig(named),
    ]) {
      await expect(ask()).rejects.toBeInstanceOf(TaskNotFoundError);
    }
    const taskId = await newTask(client);
    await expect(
      client.createTaskPushNotificationConfig(configOf({ taskId, url: "ftp://x.example" })),
    ).rejects.toBeInstanceOf(RequestMalformedError);
  });

  it("puts the webhook of its own configuration into its messages, and the webhook hears of the task", async () => {
    const heard: string[] = [];
    vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
      const request = new Request(input as RequestInfo, init);
      if (request.method === "POST") heard.push(`${request.url} ${await request.text()}`);
      return new Response(null);
    });
    const client = await connect({
      binding,
      clientConfig: { pushNotificationConfig: configOf({ id: "mine" }) },
    });
    const taskId = await newTask(client, "input");
    const { configs } = await client.listTaskPushNotificationConfig({ ...everything, taskId });
    expect(configs).toEqual([configOf({ id: "mine", taskId })]);
    await vi.waitFor(() => expect(heard.at(-1)).toContain("TASK_STATE_INPUT_REQUIRED"));
    for (const one of heard) expect(one).toContain(`${url} {`);
  });

  it("activates the extension, whose answers its codec reads without what it does not know", async () => {
    const client = await connect({ binding });
    const taskId = await newTask(client);
    const serviceParameters: Record<string, string> = {};
    withA2AExtensions(WEBHOOKS_EXTENSION)(serviceParameters);
    const created = await client.createTaskPushNotificationConfig(configOf({ id: "c", taskId }), {
      serviceParameters,
    });
    const named = { tenant: "", taskId, id: "c" };
    expect(await client.getTaskPushNotificationConfig(named, { serviceParameters })).toEqual(created);
  });
});
