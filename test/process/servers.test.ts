// The two ways to run the server on one's own machine, as a user meets them.

import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { call, type StreamResponse, stream, type Task } from "./client.ts";
import { ownServers } from "./own-servers.ts";
import { run } from "./run.ts";

const modes = ["start", "serve"] as const;
const JWT_ISSUERS = '[{"issuer":"https://id.example.com/","audience":"https://agents.example.com"}]';

const servers = ownServers();

describe.each(modes)("npm run %s", (mode) => {
  const start = (vars: Record<string, string> = {}) =>
    servers.start({ mode, vars: { DEFAULT_AGENT: "conformance", ...vars } });

  test("serves health and streams, and says nothing but how to use it", async () => {
    const server = await start();
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    const events: StreamResponse[] = [];
    const params = { message: message("stream:5:10") };
    for await (const event of stream({ url: server.url, method: "SendStreamingMessage", params })) {
      events.push(event.result);
    }
    expect(events[0]?.task?.id).toEqual(expect.any(String));
    expect(events.filter((event) => event.artifactUpdate)).toHaveLength(5);
    expect(events.at(-1)?.statusUpdate?.status.state).toBe("TASK_STATE_COMPLETED");
    expect(server.output()).not.toMatch(/warn|error|telemetry|deprecat|experimental/i);
  });

  test.each(["interrupt", "stop"] as const)(
    "ends on %s, says nothing, and leaves no process",
    async (end) => {
      const server = await start();
      await expect.poll(() => server.processes().length).toBeGreaterThan(1);
      const before = server.output();
      const code = await server[end]();
      expect(server.output()).toBe(before);
      await expect.poll(() => server.processes()).toEqual([]);
      // npm ends by the signal it was sent.
      expect(code).toBe(mode === "serve" ? 0 : null);
    },
  );

  test("takes every setting from the environment", async () => {
    const server = await start({ DEFAULT_AGENT: "interview", STREAMING: "false" });
    const card = await fetch(`${server.url}/.well-known/agent-card.json`).then((answer) => answer.json());
    expect(card).toMatchObject({ capabilities: { streaming: false } });
    const named = await fetch(`${server.url}/interview/.well-known/agent-card.json`);
    expect(card).toMatchObject({ name: ((await named.json()) as { name: string }).name });
  });

  test("refuses a setting that cannot be, by its name", async () => {
    const server = servers.launch({ mode, vars: { AUTH_MODE: "closed" } });
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain("AUTH_MODE");
  });

  test("says that its port is taken", async () => {
    const squatter = createServer();
    const port = await new Promise<number>((settle) => {
      squatter.listen(0, "127.0.0.1", () => settle((squatter.address() as { port: number }).port));
    });
    const server = servers.launch({ mode, vars: { PORT: String(port) } });
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain(`Port ${port} on 127.0.0.1 is in use.`);
    squatter.close();
  });

  test("says that its state is in use, until the server there has ended or was killed", async () => {
    const first = await start();
    const second = servers.launch({ mode });
    expect(await second.exited).toBe(1);
    expect(second.output()).toContain(`A server with the state in ${servers.stateDir} is running.`);
    await first.kill9();
    const third = await start();
    await third.stop();
    await start();
  });

  test("answers 401 without a key when AUTH_MODE is api-key", async () => {
    const server = await start({ AUTH_MODE: "api-key" });
    expect((await fetch(`${server.url}/tasks`)).status).toBe(401);
  });
});

test("npm start and npm run serve share their data", async () => {
  const first = await servers.start({ mode: "start" });
  const params = { message: message("kept") };
  const { task } = await call<{ task: Task }>({ url: first.url, method: "SendMessage", params });
  await first.stop();
  const second = await servers.start({ mode: "serve" });
  expect(await call<Task>({ url: second.url, method: "GetTask", params: { id: task.id } })).toMatchObject({
    id: task.id,
    status: { state: "TASK_STATE_COMPLETED" },
  });
});

test("npm start prints a curl line that works as it stands", async () => {
  const server = await servers.start({ mode: "start" });
  await expect.poll(() => server.output()).toContain("Ctrl-C");
  const line = /^curl .*$/m.exec(server.output())?.[0] ?? "no such line";
  const { code, output } = await run("sh", ["-c", `${line} -s`]);
  expect(code).toBe(0);
  expect(output).toContain("TASK_STATE_COMPLETED");
});

test("npm start prints a curl line that works with a key in its place when AUTH_MODE is api-key", async () => {
  const server = await servers.start({ mode: "start", vars: { AUTH_MODE: "api-key,jwt", JWT_ISSUERS } });
  await expect.poll(() => server.output()).toContain("Ctrl-C");
  const [make = "", line = ""] =
    server.output().match(/(?<=with what )npm run key .*(?= makes)|^curl .*$/gm) ?? [];
  const made = await run("sh", ["-c", make], { STATE_DIR: servers.stateDir });
  const key = /^a2a_\S+$/m.exec(made.output)?.[0] ?? "no key";
  const { output } = await run("sh", ["-c", `${line.replace("CREDENTIAL", key)} -s`]);
  expect(output).toContain("TASK_STATE_COMPLETED");
});

test("npm run key makes a key that opens a server with AUTH_MODE api-key", async () => {
  const made = await run("npm", ["run", "key", "--", "--owner", "alice"], { STATE_DIR: servers.stateDir });
  const key = /^a2a_\S+$/m.exec(made.output)?.[0] ?? "no key";
  const server = await servers.start({ mode: "serve", vars: { AUTH_MODE: "api-key" } });
  const list = (token: string) =>
    fetch(`${server.url}/tasks`, { headers: { authorization: `Bearer ${token}` } }).then(
      (answer) => answer.status,
    );
  expect(await list(key)).toBe(200);
  expect(await list(`${key}x`)).toBe(401);
});

test.each(modes)("npm run %s fires the cron trigger", async (mode) => {
  // The handler stumbles over a home that cannot be and says so, which shows that it was called.
  await (await servers.start({ mode: "serve" })).stop();
  await writeOverdueHome("no object has this id");
  const server = await servers.start({ mode, vars: { CRON_SECONDS: "1" } });
  await expect.poll(() => server.output(), { timeout: 10_000 }).toContain("a home could not be woken");
});

/** Puts a row into the local database, as a home does that has something due. */
async function writeOverdueHome(id: string): Promise<void> {
  const sql = `INSERT INTO homes (id, name, due_at, seen_at) VALUES ('${id}', 'test', 1, 1)`;
  const args = [
    "wrangler",
    "d1",
    "execute",
    "DB",
    "--local",
    "--persist-to",
    servers.stateDir,
    "--command",
    sql,
  ];
  expect((await run("npx", args)).code).toBe(0);
}

function message(text: string) {
  return { messageId: `process-${text}`, role: "ROLE_USER", parts: [{ text }] };
}
