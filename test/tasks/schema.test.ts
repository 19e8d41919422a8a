// The numbered migrations of a home's database.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { migrate, schemaVersion } from "../../src/tasks/schema.ts";
import { type Client, createClient, eventually, homeOf, newOwner } from "../support/client.ts";
import { NEWEST, toSchema } from "../support/earlier-schema.ts";
import { countCosts, crash, query } from "../support/home.ts";
import { jobIdOf } from "../support/jobs.ts";

const SCHEMA =
  "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name";

describe("the schema of a home", () => {
  it("has version 0 before it is made, and asking writes nothing", async () => {
    const owner = newOwner();
    const costs = await countCosts(owner);
    const version = await runInDurableObject(homeOf(owner), (_, { storage }) => schemaVersion(storage.sql));
    expect(version).toBe(0);
    expect((await costs()).rows).toBe(0);
    expect(await query(owner, SCHEMA)).toEqual([]);
  });

  it("is made once: migrating again changes and writes nothing", async () => {
    const owner = newOwner();
    await runInDurableObject(homeOf(owner), (_, { storage }) => migrate(storage));
    const before = await query(owner, SCHEMA);
    expect(before.map(({ name }) => name)).toContain("tasks");
    const costs = await countCosts(owner);
    const version = await runInDurableObject(homeOf(owner), (_, { storage }) => {
      migrate(storage);
      return schemaVersion(storage.sql);
    });
    expect(version).toBeGreaterThan(0);
    expect((await costs()).rows).toBe(0);
    expect(await query(owner, SCHEMA)).toEqual(before);
  });

  it("is all there or not at all, when making it fails half-way", async () => {
    const owner = newOwner();
    await runInDurableObject(homeOf(owner), (_, { storage }) => {
      storage.sql.exec("CREATE TABLE due (in_the TEXT, way TEXT)");
      expect(() => migrate(storage)).toThrow(/due/);
      expect(schemaVersion(storage.sql)).toBe(0);
      storage.sql.exec("DROP TABLE due");
      migrate(storage);
      expect(schemaVersion(storage.sql)).toBeGreaterThan(0);
    });
  });

  it("that is newer than the code is refused, and left as it is", async () => {
    const client = createClient();
    const { id } = await client.sendForTask("hello");
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => {
      storage.sql.exec("UPDATE schema_version SET version = 1000");
      expect(() => migrate(storage)).toThrow(/newer than this code/);
    });
    await crash();
    expect((await client.error("GetTask", { id })).code).toBe(-32603);
    expect(
      (
        await client.error("SendMessage", {
          message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "x" }] },
        })
      ).code,
    ).toBe(-32603);
  });

  it("survives every restart of the object", async () => {
    const client = createClient();
    const task = await client.sendForTask("hello");
    const before = await query(client.owner, SCHEMA);
    for (let i = 0; i < 3; i++) {
      await crash();
      expect(await client.get(task.id)).toEqual(task);
    }
    expect(await query(client.owner, SCHEMA)).toEqual(before);
  });
});

describe("a home of schema version 1", () => {
  /** Makes a client's home one of version 1, which the next start finds. */
  const turnBack = async ({ owner }: Client) => {
    await runInDurableObject(homeOf(owner), (_, { storage }) =>
      storage.transactionSync(() => toSchema(1, storage)),
    );
    await crash();
  };

  it("is migrated by its next start: its tasks are as they were, and go on", async () => {
    const client = createClient({ agent: "conformance" });
    const ended = await client.sendForTask("stream:5:1");
    const waiting = await client.sendForTask("input");
    const before = await query(client.owner, SCHEMA);
    await turnBack(client);
    expect(await client.get(ended.id)).toEqual(ended);
    expect(await client.get(waiting.id)).toEqual(waiting);
    const names = (rows: typeof before) => rows.map(({ type, name }) => [type, name]);
    expect(names(await query(client.owner, SCHEMA))).toEqual(names(before));
    expect(await query(client.owner, "SELECT version FROM schema_version")).toEqual([{ version: NEWEST }]);
    const { status } = await client.sendForTask({ says: "an answer", taskId: waiting.id });
    expect(status.state).toBe("TASK_STATE_COMPLETED");
    const stream = await client.subscribe(ended.id, "0");
    expect((await stream.rest()).length).toBeGreaterThan(5);
    await client.sendForTask("complete");
    expect((await client.list()).totalSize).toBe(3);
  });

  it("is migrated under a durable job, which ends as if nothing had happened", async () => {
    const client = createClient({ agent: "long-running" });
    const { id } = await client.start("a job of 30 steps");
    const progress = async () => (await client.get(id)).history?.length ?? 0;
    await eventually(async () => (await progress()) > 3);
    const job = await jobIdOf(client.owner, id);
    await turnBack(client);
    const task = await eventually(async () => {
      const task = await client.get(id);
      return task.status.state === "TASK_STATE_COMPLETED" && task;
    });
    expect(await jobIdOf(client.owner, id).catch(() => job)).toBe(job);
    const texts = (task.history ?? []).map(({ parts }) => parts[0]?.text);
    expect(new Set(texts).size).toBe(texts.length);
    expect(await query(client.owner, "SELECT version FROM schema_version")).toEqual([{ version: NEWEST }]);
  });

  it("is left as it is when migrating it fails half-way", async () => {
    const client = createClient();
    await client.sendForTask("hello");
    await runInDurableObject(homeOf(client.owner), (_, { storage }) => {
      storage.transactionSync(() => toSchema(1, storage));
      storage.sql.exec("CREATE TABLE outbox (in_the TEXT, way TEXT)");
      expect(() => migrate(storage)).toThrow(/outbox/);
      expect(schemaVersion(storage.sql)).toBe(1);
      expect(storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'lanes'").toArray()).toEqual([]);
      storage.sql.exec("DROP TABLE outbox");
      migrate(storage);
      expect(schemaVersion(storage.sql)).toBe(NEWEST);
    });
  });
});
