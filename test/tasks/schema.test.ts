// The numbered migrations of a home's database.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { migrate, schemaVersion } from "../../src/tasks/schema.ts";
import { createClient, homeOf, newOwner } from "../support/client.ts";
import { countCosts, crash, query } from "../support/home.ts";

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
