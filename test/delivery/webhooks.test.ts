// Notifications through the front door: a config, a task, and a receiver that takes what the server sends. Only the
// receiver is not real: whatever the server fetches ends in a function of the test.

import { env, runInDurableObject } from "cloudflare:test";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StreamResponse } from "../../src/protocol/events.ts";
import { type Client, createClient, homeOf } from "../support/client.ts";

type Received = { url: string; headers: Headers; text: string; body: StreamResponse };

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

let hooks = 0;
/** A URL of this test alone: what an earlier one has caused may still be on its way. */
let hook = "";

beforeEach(() => {
  hooks += 1;
  hook = `http://receiver.test/hook/${hooks}?key=1`;
});

/** Everything that is POSTed to this test's receiver; `answer` says what the n-th request gets. */
function receive(answer: (received: Received, n: number) => Response = () => new Response(null)): Received[] {
  const received: Received[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as RequestInfo, init);
    if (request.url !== hook) return new Response(null);
    if (request.method !== "POST") return new Response("no challenges here", { status: 404 });
    const text = await request.text();
    const one = { url: request.url, headers: request.headers, text, body: JSON.parse(text) };
    received.push(one);
    return answer(one, received.length);
  });
  return received;
}

function sendWith(client: Client, config: object, says = "hello") {
  return client.send(says, { configuration: { taskPushNotificationConfig: config } });
}

/** What was received, such as "artifact" or "completed". */
function kinds(received: readonly Received[]): string[] {
  return received.map(({ body }) =>
    body.statusUpdate ? body.statusUpdate.status.state.replace("TASK_STATE_", "").toLowerCase() : "artifact",
  );
}

/** Ends an object as a failure of the platform does: a stub of it that somebody keeps is broken for good. */
async function reset(stub: DurableObjectStub): Promise<void> {
  const ended = runInDurableObject(stub, (_, ctx) => ctx.abort("reset by a test"));
  await expect(ended).rejects.toThrow("reset by a test");
}

const sequences = (received: readonly Received[]) =>
  received.map(({ headers }) => Number(headers.get("webhook-sequence")));

function soon(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 10_000, interval: 20 });
}

afterEach(() => vi.restoreAllMocks());

describe("a webhook", () => {
  it("hears of everything, in order, when its config comes with the message (§3.2.2)", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    await sendWith(client, { url: hook });
    await soon(() => expect(kinds(received)).toEqual(["artifact", "completed"]));
    expect(sequences(received)).toEqual([1, 2]);
    expect(received.map(({ url }) => url)).toEqual([hook, hook]);
    expect(received[0]?.headers.get("content-type")).toBe("application/a2a+json");
    expect(received[0]?.headers.get("a2a-version")).toBe("1.0");
  });

  it("hears of what follows, when it is configured later (§3.1.7)", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    const task = await client.sendForTask("input");
    await client.result("CreateTaskPushNotificationConfig", { taskId: task.id, url: hook });
    await client.send({ says: "go on", taskId: task.id });
    await soon(() => expect(kinds(received).at(-1)).toBe("completed"));
    expect(kinds(received)).not.toContain("input_required");
    expect(sequences(received)).toEqual(received.map((_, index) => index + 1));
  });

  it("gets the credentials exactly as they were configured, and its token under both names (§4.3.2)", async () => {
    const received = receive();
    const authentication = { scheme: "bEarer", credentials: "s3cr3t==" };
    await sendWith(createClient(), { url: hook, token: "t0ken", authentication });
    await soon(() => expect(received.length).toBeGreaterThan(0));
    const [first] = received;
    expect(first?.headers.get("authorization")).toBe("bEarer s3cr3t==");
    expect(first?.headers.get("x-a2a-notification-token")).toBe("t0ken");
    expect(first?.headers.get("a2a-notification-token")).toBe("t0ken");
  });

  it("is signed so that the package of Standard Webhooks verifies it", async () => {
    const received = receive();
    await sendWith(createClient(), { url: hook, secret: SECRET });
    await soon(() => expect(received.length).toBeGreaterThan(1));
    for (const { headers, text, body } of received) {
      expect(new Webhook(SECRET).verify(text, Object.fromEntries(headers))).toEqual(body);
      expect(() => new Webhook(SECRET).verify(`${text} `, Object.fromEntries(headers))).toThrow();
    }
  });

  it("hears only of the events it asked for, numbered without holes", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    await sendWith(client, { url: hook, events: ["completed"] }, "stream:5:0");
    await soon(() => expect(kinds(received)).toEqual(["completed"]));
    expect(sequences(received)).toEqual([1]);
  });

  it("gets a batch as an array of notifications, when it asks for batches", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    await sendWith(client, { url: hook, batch: { maxWaitMs: 300 } }, "stream:3:0");
    await soon(() => expect(received).toHaveLength(1));
    const batch = received[0]?.body as unknown as {
      id: string;
      sequence: number;
      event: string;
      payload: object;
    }[];
    expect(batch.map(({ sequence }) => sequence)).toEqual(batch.map((_, index) => index + 1));
    expect(batch.at(-1)?.event).toBe("completed");
    expect(new Set(batch.map(({ id }) => id)).size).toBe(batch.length);
  });

  it("that fails is tried again with the same id and the same bytes, and what follows waits for it", async () => {
    const received = receive((_, n) => new Response(null, { status: n === 1 ? 500 : 200 }));
    await sendWith(createClient({ agent: "conformance" }), { url: hook, retry: { delaysSeconds: [1, 1] } });
    await soon(() => expect(received).toHaveLength(3));
    expect(kinds(received)).toEqual(["artifact", "artifact", "completed"]);
    expect(received[0]?.text).toBe(received[1]?.text);
    expect(received[0]?.headers.get("webhook-id")).toBe(received[1]?.headers.get("webhook-id"));
    expect(received.map(({ headers }) => headers.get("webhook-attempt"))).toEqual(["1", "2", "1"]);
  });

  it("hears nothing more once its deletion has been answered (§3.1.10)", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    const task = await client.sendForTask("input");
    await client.result("CreateTaskPushNotificationConfig", { taskId: task.id, id: "c", url: hook });
    await client.result("DeleteTaskPushNotificationConfig", { taskId: task.id, id: "c" });
    await client.result("DeleteTaskPushNotificationConfig", { taskId: task.id, id: "c" });
    await client.send({ says: "go on", taskId: task.id });
    await scheduler.wait(300);
    expect(received).toEqual([]);
  });

  it("hears of the next task after the objects that know each other were reset", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    const endpoint = () =>
      env.ENDPOINTS.get(env.ENDPOINTS.idFromName(`open::${client.owner}|${new URL(hook).origin}`));
    let heard = 0;
    for (const objectOf of [endpoint, () => homeOf(client.owner), endpoint]) {
      await sendWith(client, { url: hook });
      heard += 2;
      await soon(() => expect(received).toHaveLength(heard));
      await reset(objectOf());
    }
    await sendWith(client, { url: hook });
    await soon(() => expect(kinds(received).slice(heard)).toEqual(["artifact", "completed"]));
  });

  it("of another owner is no business of ours: configs of foreign tasks are not found", async () => {
    const task = await createClient().sendForTask("hello");
    const error = await createClient().error("CreateTaskPushNotificationConfig", {
      taskId: task.id,
      url: hook,
    });
    expect(error.code).toBe(-32001);
  });

  it("can be verified with keys that are served to everybody", async () => {
    const response = await createClient().request("/.well-known/jwks.json");
    expect(response.status).toBe(200);
    const { keys } = await response.json<{ keys: object[] }>();
    expect(keys).toEqual([expect.objectContaining({ kty: "OKP", crv: "Ed25519", use: "sig", alg: "EdDSA" })]);
    expect(JSON.stringify(keys)).not.toContain('"d"');
  });
});
