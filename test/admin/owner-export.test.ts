// The export of one owner's data, through the front door and from real homes: all that is there, nothing of anybody
// else, no secret, and never as a whole in memory.

import { env, runDurableObjectAlarm, SELF } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApiKey } from "../../src/store/api-keys.ts";
import { saveAttempts } from "../../src/store/attempts.ts";
import { saveDeadLetters } from "../../src/store/dead-letters.ts";
import type { exportPage } from "../../src/tasks/export.ts";
import { attemptRow, deadLetter } from "../store/rows.ts";
import { createClient, homeOf, newOwner } from "../support/client.ts";
import { createOperator, startAfresh } from "./operator.ts";

beforeEach(async () => {
  await startAfresh();
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => void vi.restoreAllMocks());

type Line = { kind: string; [member: string]: unknown };

const toLines = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

/** A media type that is no text/ makes `text()` warn. */
const read = async (response: Response) => new TextDecoder().decode(await response.arrayBuffer());

const exportOf = (owner: string) =>
  SELF.fetch(`https://agents.test/admin/v1/owners/${encodeURIComponent(owner)}:export`, {
    headers: { authorization: `Bearer ${env.ADMIN_KEY}` },
  });

describe("an export", () => {
  it("holds every task with its push configs, what agents remember, attempts, dead letters, and how many", async () => {
    const name = newOwner();
    const owner = `open::${name}`;
    const mine = createClient({ owner: name, agent: "conformance" });
    const tasks = [];
    for (const says of ["hello", "input", "stream:2:0"]) tasks.push(await mine.sendForTask(says));
    const asked = await createClient({ owner: name, agent: "interview" }).sendForTask("hello");
    await createClient({ owner: name, agent: "interview" }).sendForTask({ says: "Ada", taskId: asked.id });
    const secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
    const token = "a-token-that-nobody-may-read";
    const authentication = { scheme: "Bearer", credentials: "credentials-that-nobody-may-read" };
    await mine.result("CreateTaskPushNotificationConfig", {
      ...{ taskId: tasks[1]?.id, id: "c", url: "https://mine.example/hook", token, authentication },
    });
    await saveAttempts(env.DB, [
      attemptRow({ owner, notification: "msg_a" }),
      attemptRow({ owner: "open::x" }),
    ]);
    await saveDeadLetters(env.DB, [
      deadLetter({ id: "msg_d", owner, body: '{"task":1}' }),
      deadLetter({ id: "msg_e", owner: "open::x" }),
    ]);
    const stranger = await createClient({ agent: "conformance" }).sendForTask("hello");
    await runDurableObjectAlarm(homeOf(name));

    const response = await exportOf(owner);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const text = await read(response);
    for (const hidden of [secret, token, authentication.credentials, stranger.id])
      expect(text).not.toContain(hidden);
    const lines = toLines(text);
    const of = (kind: string) => lines.filter((line) => line.kind === kind);
    expect(lines[0]).toMatchObject({ kind: "owner", owner });
    expect(of("task").map(({ task }) => (task as { id: string }).id)).toEqual(
      [...tasks, asked].map(({ id }) => id).toSorted(),
    );
    for (const task of tasks) {
      const line = of("task").find((one) => (one.task as { id: string }).id === task.id);
      expect(line).toMatchObject({ agent: "conformance", task: await mine.get(task.id) });
      expect(line?.pushConfigs).toHaveLength(task === tasks[1] ? 1 : 0);
    }
    expect(of("memory")).toMatchObject([{ agent: "interview", contextId: asked.contextId }]);
    expect(of("delivery")).toMatchObject([{ owner, notification: "msg_a" }]);
    expect(of("deadLetter")).toMatchObject([{ id: "msg_d", body: '{"task":1}' }]);
    expect(lines.at(-1)).toEqual({ kind: "end", counts: { task: 4, memory: 1, delivery: 1, deadLetter: 1 } });
  });

  it("of who has only keys holds their metadata and not the keys", async () => {
    const { key, text } = await createApiKey(
      env.DB,
      { owner: "alice", roles: ["user"], scopes: [], createdBy: "cli", label: "laptop", expiresAt: null },
      1_000,
    );
    const body = await read(await exportOf("key::alice"));
    expect(toLines(body)).toMatchObject([
      { kind: "owner", owner: "key::alice" },
      { kind: "apiKey", id: key.id, label: "laptop", roles: ["user"], revokedAt: null },
      { kind: "end", counts: { apiKey: 1 } },
    ]);
    expect(body).not.toContain(text);
    expect(body).not.toContain("hash");
  });

  it("is of an owner who is known, and for operators", async () => {
    expect((await exportOf("open::nobody")).status).toBe(404);
    const path = "https://agents.test/admin/v1/owners/key%3A%3Aalice:export";
    expect((await SELF.fetch(path)).status).toBe(401);
    expect((await SELF.fetch(path, { method: "POST" })).status).toBe(401);
  });

  it("asks for a page only when the one before was taken, of every home that may be, and then no more", async () => {
    await env.DB.prepare("INSERT INTO owners VALUES ('open::o', 1, 0)").run();
    const task = (n: number) =>
      new TextEncoder().encode(`{"kind":"task","n":${n}}`) as Uint8Array<ArrayBuffer>;
    let asked = 0;
    const exporting = async (place: unknown) => {
      asked++;
      if (asked > 3) return { items: [], next: undefined };
      return {
        items: [task(asked)],
        next: place === undefined || asked < 3 ? { task: String(asked) } : undefined,
      };
    };
    const operator = createOperator({ home: { exportPage: exporting as never } });
    const response = await operator.send("/admin/v1/owners/open%3A%3Ao:export");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    await reader?.read();
    await reader?.read();
    expect(asked).toBe(1);
    let rest = "";
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) rest += part.value;
    expect(toLines(rest).at(-1)).toEqual({ kind: "end", counts: { task: 3 } });
    expect(Object.keys(operator.homes)).toHaveLength(64);
  });

  it("that breaks has no last line", async () => {
    await env.DB.prepare("INSERT INTO owners VALUES ('open::o', 1, 0)").run();
    const exporting = async () => {
      throw new Error("gone");
    };
    const operator = createOperator({ home: { exportPage: exporting as never } });
    const response = await operator.send("/admin/v1/owners/open%3A%3Ao:export");
    await expect(read(response)).rejects.toThrow();
  });

  it("of a home that does not exist is empty, and does not make it", async () => {
    const nowhere = homeOf(newOwner()) as unknown as {
      exportPage(place?: unknown): ReturnType<typeof exportPage>;
    };
    expect(await nowhere.exportPage(undefined)).toEqual({ items: [], next: undefined });
  });
});
