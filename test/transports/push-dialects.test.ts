// Notifications in the dialect of who configured them, through the front door to a receiver: the body, its type and
// version, and signatures over the very bytes that are sent.

import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { flawsOf } from "../protocol/v0_1/shapes.ts";
import { type Client, createClient } from "../support/client.ts";

type Json = Record<string, unknown>;
type Received = { headers: Headers; text: string; body: Json };

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

let hooks = 0;
let hook = "";

beforeEach(() => {
  hooks += 1;
  hook = `http://receiver.test/dialects/${hooks}`;
});

afterEach(() => vi.restoreAllMocks());

function receive(answer: (n: number) => number = () => 200): Received[] {
  const received: Received[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as RequestInfo, init);
    if (request.url !== hook || request.method !== "POST") return new Response(null, { status: 404 });
    const text = await request.text();
    received.push({ headers: request.headers, text, body: JSON.parse(text) });
    return new Response(null, { status: answer(received.length) });
  });
  return received;
}

const soon = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 20 });

/** The clients of each version, each with the config that it would send. */
const ways: Record<string, (client: Client, config: Json) => Promise<unknown>> = {
  "1.0": (client, config) => client.send("hello", { configuration: { taskPushNotificationConfig: config } }),
  "0.3": (client, config) =>
    client.result("message/send", {
      message: { messageId: "m", role: "user", parts: [{ kind: "text", text: "hello" }] },
      configuration: { blocking: true, pushNotificationConfig: config },
    }),
  "0.1": (client, config) =>
    client.result("tasks/send", {
      id: "t",
      message: { role: "user", parts: [{ type: "text", text: "hello" }] },
      pushNotification: config,
    }),
};

const clientOf = (version: string, agent = "echo") =>
  createClient({ agent, headers: { "a2a-version": version === "1.0" ? version : "" } });

describe("a notification", () => {
  it("of 0.3 and of 0.1 is the task, each as plain JSON", async () => {
    const received = receive();
    await ways["0.3"]?.(clientOf("0.3"), { url: hook, token: "t0ken" });
    await soon(() => expect(received).toHaveLength(1));
    for (const { headers } of received) {
      expect(headers.get("content-type")).toBe("application/json");
      expect(headers.get("a2a-version")).toBe("0.3");
      expect(headers.get("x-a2a-notification-token")).toBe("t0ken");
    }
    expect(received[0]?.body).toMatchObject({
      kind: "task",
      status: { state: "completed" },
      artifacts: [{ parts: [{ kind: "text", text: "echo: hello" }] }],
    });

    received.length = 0;
    await ways["0.1"]?.(clientOf("0.1"), { url: hook, token: "t0ken" });
    await soon(() => expect(received).toHaveLength(1));
    const [task] = received;
    expect(task?.headers.get("a2a-version")).toBe("0.1");
    expect(task?.headers.get("content-type")).toBe("application/json");
    expect(flawsOf("Task", task?.body)).toEqual([]);
    expect(task?.body).toMatchObject({
      id: "t",
      status: { state: "completed" },
      artifacts: [{ index: 0, parts: [{ type: "text", text: "echo: hello" }] }],
    });
  });

  it.each(Object.entries(ways))("of %s is signed over the bytes that are sent", async (version, send) => {
    const received = receive();
    await send(clientOf(version), { url: hook, secret: SECRET });
    await soon(() => expect(received.length).toBeGreaterThan(0));
    for (const { headers, text, body } of received) {
      expect(headers.get("a2a-version")).toBe(version);
      expect(new Webhook(SECRET).verify(text, Object.fromEntries(headers))).toEqual(body);
      expect(() => new Webhook(SECRET).verify(`${text} `, Object.fromEntries(headers))).toThrow();
    }
  });

  it.each(Object.entries(ways))(
    "of %s has the same bytes and id when it is tried again",
    async (version, send) => {
      const received = receive((n) => (n === 1 ? 500 : 200));
      await send(clientOf(version), { url: hook, retry: { delaysSeconds: [1] } });
      await soon(() => expect(received.length).toBeGreaterThan(1));
      const [first, second] = received;
      expect(second?.text).toBe(first?.text);
      expect(second?.headers.get("webhook-id")).toBe(first?.headers.get("webhook-id"));
      expect(second?.headers.get("webhook-attempt")).toBe("2");
    },
  );
});

describe("three subscribers of one task", () => {
  it("hear of it each in their own dialect", async () => {
    const received = receive();
    const oldest = clientOf("0.1", "conformance");
    const { owner } = oldest;
    const named = (version: string) =>
      createClient({ owner, agent: "conformance", headers: { "a2a-version": version } });
    const say = (text: string) =>
      oldest.result("tasks/send", { id: "t", message: { role: "user", parts: [{ type: "text", text }] } });
    await say("input");
    await oldest.result("tasks/pushNotification/set", { id: "t", pushNotificationConfig: { url: hook } });
    await named("0.3").result("tasks/pushNotificationConfig/set", {
      taskId: "t",
      pushNotificationConfig: { id: "third", url: hook },
    });
    await named("1.0").result("CreateTaskPushNotificationConfig", { taskId: "t", id: "first", url: hook });
    await say("done");
    const ends = () =>
      received
        .filter(({ text }) => /completed/i.test(text))
        .map(({ headers, body }) => [headers.get("a2a-version"), body.kind ?? Object.keys(body)[0]])
        .toSorted();
    await soon(() =>
      expect(ends()).toEqual([
        ["0.1", "id"],
        ["0.3", "task"],
        ["1.0", "statusUpdate"],
      ]),
    );
  });
});
