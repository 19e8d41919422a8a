// Notifications through the front door: a config, a task, and a receiver that takes what the server sends. Only the
// receiver is not real: whatever the server fetches ends in a function of the test.

import { afterEach, describe, expect, it, vi } from "vitest";
import { createClient } from "../support/client.ts";

type Received = { url: string; headers: Headers; body: unknown };

function receive(answer: (received: Received, count: number) => Response = () => new Response(null)) {
  const received: Received[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as RequestInfo, init);
    const text = await request.text();
    const one = { url: request.url, headers: request.headers, body: text === "" ? undefined : JSON.parse(text) };
    if (request.method === "GET") return new Response("no", { status: 404 });
    received.push(one);
    return answer(one, received.length);
  });
  return received;
}

afterEach(() => vi.restoreAllMocks());

describe("a webhook", () => {
  it("hears of everything when it comes with the message", async () => {
    const received = receive();
    const client = createClient({ agent: "conformance" });
    const config = { url: "http://receiver.test/hook?x=1", token: "t0k" };
    await client.result("SendMessage", {
      message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "hello" }] },
      configuration: { taskPushNotificationConfig: config },
    });
    await vi.waitFor(() => expect(received).toHaveLength(2), 5_000);
    console.log(JSON.stringify(received.map((r) => [r.url, r.body, Object.fromEntries(r.headers)]), null, 1));
  });
});
