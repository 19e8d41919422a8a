// A client that leaves: the home must hear of it, also when nothing happens to the task.

import { env, runInDurableObject, SELF } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import type { HomeObject } from "../../src/tasks/home.ts";

const URL = "http://server.test/conformance";

function subscribers(): Promise<number> {
  const home = env.HOMES.get(env.HOMES.idFromName("open::anonymous/0"));
  return runInDurableObject(home, (instance: HomeObject) => instance.subscribers);
}

it("a subscriber of a task that waits for input is gone from the home when its client leaves", async () => {
  const body = (method: string, params: unknown) => ({
    method: "POST",
    headers: { "content-type": "application/json", "a2a-version": "1.0" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  });
  const message = { messageId: "1", role: "ROLE_USER", parts: [{ text: "input" }] };
  const sent = await SELF.fetch(URL, body("SendMessage", { message }));
  const { result } = await sent.json<{ result: { task: { id: string } } }>();
  const stream = await SELF.fetch(URL, body("SubscribeToTask", { id: result.task.id }));
  const reader = stream.body?.getReader();
  await reader?.read();
  expect(await subscribers()).toBe(1);
  await reader?.cancel();
  await vi.waitFor(async () => expect(await subscribers()).toBe(0));
});
