// Values that are deep, cyclic, no JSON, or wrong in very many places.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { parseParams } from "../../src/protocol/parse.ts";
import { SendMessageRequest } from "../../src/protocol/requests.ts";
import { string } from "../../src/protocol/scalars.ts";
import { map, repeated } from "../../src/protocol/schema.ts";
import { AuthorizationCodeOAuthFlow } from "../../src/protocol/security.ts";
import { Struct } from "../../src/protocol/struct.ts";
import { only, sending, sendingPart, violations } from "./refused.ts";

describe("depth", () => {
  function nested(levels: number): unknown {
    let value: unknown = 1;
    for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
    return value;
  }

  it("refuses params nested deeper than the limit, counting the params as level 1", () => {
    const limits = { maxParts: 10, maxDepth: 8 };
    // params, message, parts, part: the data starts at level 5.
    expect(parseParams(SendMessageRequest, sendingPart({ data: nested(4) }), limits).ok).toBe(true);
    expect(violations(SendMessageRequest, sendingPart({ data: nested(5) }), limits)).toEqual(
      only("params", "must not be nested deeper than 8 levels"),
    );
  });

  it("survives 100,000 levels, also in a field nobody knows", () => {
    for (const value of [sendingPart({ data: nested(100_000) }), { id: "t", unknown: nested(100_000) }]) {
      expect(violations(SendMessageRequest, value)[0]?.description).toBe(
        "must not be nested deeper than 64 levels",
      );
    }
  });

  it("ends at a cycle that an agent has made", () => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = [cyclic];
    const parsed = z.safeParse(Struct, cyclic);
    expect(parsed.error?.issues[0]?.message).toBe("must not be nested deeper than 1000 levels");
  });
});

describe("what JSON cannot say", () => {
  it.each([
    [Number.NaN, "must be a finite number"],
    [Number.POSITIVE_INFINITY, "must be a finite number"],
    [undefined, "must be a JSON value, not undefined"],
    [() => 1, "must be a JSON value, not a function"],
    [10n, "must be a JSON value, not a bigint"],
  ])("refuses %s in a Struct that an agent has made", (value, description) => {
    const parsed = z.safeParse(Struct, { a: [value] });
    expect(parsed.error?.issues).toMatchObject([{ path: ["a", 0], message: description }]);
  });
});

describe("a Struct that an agent has made", () => {
  it("may hold undefined members, which JSON.stringify leaves out", () => {
    expect(z.safeParse(Struct, { a: undefined, b: 1 }).success).toBe(true);
  });
});

describe("many violations", () => {
  it("are reported up to twenty, in the order of the fields", () => {
    const found = violations(SendMessageRequest, sending({ parts: Array.from({ length: 500 }, () => ({})) }));
    expect(found).toHaveLength(20);
    expect(found[19]?.field).toBe("message.parts[19]");
  });

  it("stay twenty when several fields are full of them", () => {
    const wrong = Array.from({ length: 30 }, () => 1);
    const found = violations(
      SendMessageRequest,
      sending({ messageId: "", parts: wrong.slice(0, 15), extensions: wrong, referenceTaskIds: wrong }),
    );
    expect(found).toHaveLength(20);
    expect(found[0]?.field).toBe("message.messageId");
    const scopes = Object.fromEntries(wrong.map((value, i) => [`scope${i}`, value]));
    expect(violations(AuthorizationCodeOAuthFlow, { scopes })).toHaveLength(20);
  });

  it("cost little: what comes after the twentieth wrong element is not looked at", () => {
    const wrong: unknown[] = Array.from({ length: 30 }, () => 1);
    const untouchable = {
      get: () => {
        throw new Error("looked at");
      },
    };
    Object.defineProperty(wrong, 20, untouchable);
    expect(z.safeParse(repeated(string), wrong).error?.issues).toHaveLength(20);
    Object.defineProperty(wrong, 19, untouchable);
    expect(() => z.safeParse(repeated(string), wrong)).toThrow("looked at");
    const manyNames = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`name${i}`, 1]));
    expect(z.safeParse(map(string), manyNames).error?.issues).toHaveLength(20);
  });

  it("never quote a value, and shorten a key", () => {
    const secret = "s3cret".repeat(100);
    const found = violations(
      SendMessageRequest,
      sending({ messageId: secret, metadata: { [secret]: "\ud800" } }),
    );
    expect(found).toEqual([
      { field: "message.messageId", description: "must be at most 512 characters long" },
      {
        field: `message.metadata["${secret.slice(0, 64)}"]`,
        description: "must not contain a lone surrogate",
      },
    ]);
  });
});
