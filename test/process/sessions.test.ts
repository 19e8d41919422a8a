// Sessions on a whole process: through kill -9, and as an EventSource uses them, over real sockets and by a URL alone.

import { expect, test } from "vitest";
import { call, type StreamResponse, type Task } from "./client.ts";
import { ownServers } from "./own-servers.ts";
import { run } from "./run.ts";
import { createParser, type ServerEvent } from "./sse.ts";

const servers = ownServers();

const serve = () =>
  servers.start({ mode: "serve", vars: { AUTH_MODE: "api-key", DEFAULT_AGENT: "conformance" } });

async function makeKey(): Promise<string> {
  const made = await run("npm", ["run", "-s", "key", "--", "--owner", "alice"], {
    STATE_DIR: servers.stateDir,
  });
  return /^a2a_\S+$/m.exec(made.output)?.[0] ?? "no key";
}

type Opened = { session: string; id: string };

async function open(url: string, body: object): Promise<Opened> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/a2a/auth`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(response.status).toBe(201);
  return (await response.json()) as Opened;
}

const statusOf = async (url: string, session: string) =>
  (await fetch(`${url}/tasks?session=${session}`)).status;

test("a session and its end survive kill -9, and the log knows no token", async () => {
  const key = await makeKey();
  const first = await serve();
  const [kept, ended] = [await open(first.url, { apiKey: key }), await open(first.url, { token: key })];
  const logout = { method: "DELETE", headers: { authorization: `Bearer ${ended.session}` } };
  expect((await fetch(`${first.url}/a2a/auth`, logout)).status).toBe(204);
  await first.kill9();

  const second = await serve();
  expect(await statusOf(second.url, kept.session)).toBe(200);
  expect(await statusOf(second.url, ended.session)).toBe(401);
  const list = await fetch(`${second.url}/a2a/auth/sessions?session=${kept.session}`);
  expect(await list.json()).toMatchObject({ sessions: [{ id: kept.id, current: true }] });
  for (const { output } of [first, second]) {
    for (const secret of [key, kept.session, ended.session])
      expect(output()).not.toContain(secret.slice(-20));
  }
});

test("a browser follows a task through a restart by a URL alone", async () => {
  const key = await makeKey();
  const first = await serve();
  const { session } = await open(first.url, { apiKey: key });
  const headers = { authorization: `Bearer ${key}` };
  const message = { messageId: "1", role: "ROLE_USER", parts: [{ text: "input" }] };
  const sent = { url: first.url, method: "SendMessage", params: { message }, headers };
  const { task } = await call<{ task: Task }>(sent);

  const opening = await follow(`${first.url}/tasks/${task.id}:subscribe?session=${session}`);
  const { id, data } = await opening.next();
  expect(data.task?.id).toBe(task.id);
  await first.kill9();

  const second = await serve();
  const again = await follow(`${second.url}/tasks/${task.id}:subscribe?session=${session}`, id);
  await call<Task>({ url: second.url, method: "CancelTask", params: { id: task.id }, headers });
  expect((await again.next()).data.statusUpdate?.status.state).toBe("TASK_STATE_CANCELED");
});

/** What an EventSource does: GET, and when it comes back it says what it had. */
async function follow(url: string, lastEventId?: string) {
  const headers = {
    accept: "text/event-stream",
    ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
  };
  const response = await fetch(url, { headers });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const parse = createParser();
  const ready: ServerEvent[] = [];
  return {
    async next(): Promise<{ id: string; data: StreamResponse }> {
      for (let event = ready.shift(); ; event = ready.shift()) {
        if (event) return { id: event.id, data: JSON.parse(event.data) as StreamResponse };
        const { done, value } = await reader.read();
        if (done) throw new Error("the stream has ended");
        ready.push(...parse(value));
      }
    },
  };
}
