import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { isOutage } from "../../src/lib/outage.ts";

const d1 = (message: string) => new Error(`D1_ERROR: ${message}`);

describe("an outage", () => {
  it.each([
    d1("D1 DB is overloaded. Requests queued for too long."),
    d1("Network connection lost."),
    d1("D1 DB storage operation exceeded timeout which caused object to be reset."),
    d1("Internal error in D1 DB storage caused object to be reset."),
    d1("Cannot resolve D1 DB due to transient issue on remote node."),
    d1("database is locked: SQLITE_BUSY"),
    d1("database or disk is full: SQLITE_FULL"),
    Object.assign(new Error("Network connection lost."), { retryable: true }),
    Object.assign(new Error("Durable Object is overloaded."), { overloaded: true }),
  ])("is %s", (error) => {
    expect(isOutage(error)).toBe(true);
  });

  it.each([
    new Error("Network connection lost."),
    new TypeError("undefined is not a function"),
    Object.assign(new Error("no"), { retryable: false, overloaded: "yes" }),
    new Error("D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'"),
    { message: "D1_ERROR: Network connection lost.", retryable: true },
    "D1_ERROR: Network connection lost.",
    undefined,
  ])("is not %s", (error) => {
    expect(isOutage(error)).toBe(false);
  });

  it.each([
    ["a table that is not there", "SELECT * FROM nothing"],
    ["a statement that is none", "SELEKT"],
    [
      "a row that is there already",
      "INSERT INTO flags SELECT 'twice', 0, 0, '' UNION ALL SELECT 'twice', 0, 0, ''",
    ],
    ["a column without a value", "INSERT INTO flags (name) VALUES ('one')"],
  ])("is not %s, as D1 itself says it", async (_, sql) => {
    const thrown = await env.DB.prepare(sql)
      .run()
      .catch((error: unknown) => error);
    expect(String(thrown)).toContain("D1_ERROR: ");
    expect([String(thrown), isOutage(thrown)]).toEqual([String(thrown), false]);
  });
});
