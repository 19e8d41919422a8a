// What is refused, with the path of the field and a reason in plain words (§3.3.2: servers specify which
// parameter failed and why). Each table is one rule.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import type { FieldViolation } from "../../src/protocol/errors.ts";
import { parseParams } from "../../src/protocol/parse.ts";
import * as requests from "../../src/protocol/requests.ts";
import type { Schema } from "../../src/protocol/schema.ts";
import { AuthorizationCodeOAuthFlow } from "../../src/protocol/security.ts";
import { Struct } from "../../src/protocol/struct.ts";

const { SendMessageRequest, ListTasksRequest, GetTaskRequest } = requests;

function violations(
  schema: Schema<unknown>,
  value: unknown,
  limits?: { maxParts: number; maxDepth: number },
) {
  const parsed = parseParams(schema, value, limits);
  if (parsed.ok) throw new Error(`accepted: ${JSON.stringify(parsed.value)}`);
  expect(parsed.error.reason).toBe("INVALID_PARAMS");
  return parsed.error.violations as FieldViolation[];
}

function only(field: string, description: string) {
  return [{ field, description }];
}

/** A request whose message is right but for `change`. */
function sending(change: object): unknown {
  return { message: { messageId: "m1", role: "ROLE_USER", parts: [{ text: "hi" }], ...change } };
}

function sendingPart(part: unknown): unknown {
  return sending({ parts: [part] });
}

describe("params", () => {
  it.each([
    [[], "an array"],
    [[{ id: "t" }], "an array"],
    ["t", "a string"],
    [7, "a number"],
    [true, "a boolean"],
  ])("refuses %j instead of an object (§9.1)", (value, kind) => {
    expect(violations(GetTaskRequest, value)).toEqual(only("params", `must be an object, not ${kind}`));
  });

  it("refuses an empty name", () => {
    expect(violations(GetTaskRequest, { id: "t", "": 1 })).toEqual(
      only("params", "must not have an empty name"),
    );
  });

  it.each([undefined, null, {}])("names what is missing when %j is sent", (value) => {
    expect(violations(GetTaskRequest, value)).toEqual(only("id", "is required"));
    expect(violations(SendMessageRequest, value)).toEqual(only("message", "is required"));
  });
});

describe("required fields", () => {
  it.each([undefined, null])("refuses a message without what is REQUIRED: %j (§5.7)", (gone) => {
    expect(violations(SendMessageRequest, sending({ messageId: gone, role: gone, parts: gone }))).toEqual([
      { field: "message.messageId", description: "is required" },
      { field: "message.role", description: "is required" },
      { field: "message.parts", description: "is required" },
    ]);
  });

  it.each<[string, Schema<unknown>, object]>([
    ["message.messageId", SendMessageRequest, sending({ messageId: "" }) as object],
    ["id", GetTaskRequest, { id: "" }],
    ["id", requests.CancelTaskRequest, { id: "" }],
    ["id", requests.SubscribeToTaskRequest, { id: "" }],
    ["url", requests.CreateTaskPushNotificationConfigRequest, { taskId: "t", url: "" }],
    ["taskId", requests.CreateTaskPushNotificationConfigRequest, { taskId: "", url: "https://a.example" }],
    ["taskId", requests.ListTaskPushNotificationConfigsRequest, { taskId: "" }],
    ["id", requests.GetTaskPushNotificationConfigRequest, { taskId: "t", id: "" }],
    ["id", requests.DeleteTaskPushNotificationConfigRequest, { taskId: "t", id: "" }],
  ])("refuses an empty %s", (field, schema, value) => {
    expect(violations(schema, value)).toEqual(only(field, "must not be empty"));
  });

  it("refuses a message without parts (§5.7)", () => {
    expect(violations(SendMessageRequest, sending({ parts: [] }))).toEqual(
      only("message.parts", "must hold at least one element"),
    );
  });

  it.each([0, "TASK_STATE_UNSPECIFIED", "ROLE_UNSPECIFIED", 3, "ROLE_ADMIN", "user", "1", 1.5, true, {}])(
    "refuses %j as a role (§4.1.5)",
    (role) => {
      expect(violations(SendMessageRequest, sending({ role }))).toEqual(
        only("message.role", "must be one of ROLE_USER, ROLE_AGENT"),
      );
    },
  );

  it.each(["INVALID_STATUS", "completed", 9, -1, "3", false, []])(
    "refuses %j as a status filter (§3.1.4)",
    (status) => {
      const [violation] = violations(ListTasksRequest, { status });
      expect(violation?.field).toBe("status");
      expect(violation?.description).toMatch(
        /^must be one of TASK_STATE_SUBMITTED, .*TASK_STATE_AUTH_REQUIRED$/,
      );
    },
  );

  it("requires url and taskId of a new push config, but url alone inside SendMessage (§3.1.7)", () => {
    expect(violations(requests.CreateTaskPushNotificationConfigRequest, {})).toEqual([
      { field: "taskId", description: "is required" },
      { field: "url", description: "is required" },
    ]);
    const configuration = { taskPushNotificationConfig: { authentication: {} } };
    expect(violations(SendMessageRequest, { ...(sending({}) as object), configuration })).toEqual([
      { field: "configuration.taskPushNotificationConfig.url", description: "is required" },
      { field: "configuration.taskPushNotificationConfig.authentication.scheme", description: "is required" },
    ]);
  });
});

describe("parts", () => {
  it.each([
    [{}, "none"],
    [{ kind: "text" }, "none"],
    [{ metadata: {} }, "none"],
    [{ text: null }, "none"],
    [{ text: "a", url: "b" }, "text, url"],
    [{ text: "", raw: "" }, "text, raw"],
    [{ text: "a", data: null }, "text, data"],
    [{ text: "a", raw: "QQ==", url: "b", data: 1 }, "text, raw, url, data"],
  ])("refuses %j: it is not exactly one content (§4.1.6)", (part, held) => {
    const text = `must hold exactly one of text, raw, url, data; it holds ${held}`;
    expect(violations(SendMessageRequest, sendingPart(part))).toEqual(only("message.parts[0]", text));
  });

  it.each([
    [null, "null"],
    ["hi", "a string"],
    [[{ text: "hi" }], "an array"],
  ])("refuses %j as a part", (part, kind) => {
    expect(violations(SendMessageRequest, sendingPart(part))).toEqual(
      only("message.parts[0]", `must be an object, not ${kind}`),
    );
  });

  it("refuses a URL that is empty", () => {
    expect(violations(SendMessageRequest, sendingPart({ url: "" }))).toEqual(
      only("message.parts[0].url", "must not be empty"),
    );
  });

  it("refuses more parts than the limit, before it reads them", () => {
    const parts = Array.from({ length: 10_000 }, () => ({}));
    expect(violations(SendMessageRequest, sending({ parts }))).toEqual(
      only("message.parts", "must hold at most 1000 parts"),
    );
    const limits = { maxParts: 2, maxDepth: 64 };
    const three = sending({ parts: [{ text: "a" }, { text: "b" }, { text: "c" }] });
    expect(violations(SendMessageRequest, three, limits)[0]?.description).toBe("must hold at most 2 parts");
  });
});

describe("types", () => {
  it.each<[string, Schema<unknown>, unknown, string]>([
    ["message", SendMessageRequest, { message: "hi" }, "must be an object, not a string"],
    ["message", SendMessageRequest, { message: [] }, "must be an object, not an array"],
    ["message.messageId", SendMessageRequest, sending({ messageId: 7 }), "must be a string, not a number"],
    ["message.contextId", SendMessageRequest, sending({ contextId: {} }), "must be a string, not an object"],
    [
      "message.parts",
      SendMessageRequest,
      sending({ parts: { text: "a" } }),
      "must be an array, not an object",
    ],
    ["message.parts", SendMessageRequest, sending({ parts: "hi" }), "must be an array, not a string"],
    ["message.parts[0].text", SendMessageRequest, sendingPart({ text: 7 }), "must be a string, not a number"],
    [
      "message.parts[0].mediaType",
      SendMessageRequest,
      sendingPart({ text: "a", media_type: true }),
      "must be a string, not a boolean",
    ],
    [
      "message.parts[0].raw",
      SendMessageRequest,
      sendingPart({ raw: [1] }),
      "must be a base64 string, not an array",
    ],
    ["message.metadata", SendMessageRequest, sending({ metadata: [] }), "must be an object, not an array"],
    ["message.metadata", SendMessageRequest, sending({ metadata: "{}" }), "must be an object, not a string"],
    [
      "message.extensions",
      SendMessageRequest,
      sending({ extensions: "a" }),
      "must be an array, not a string",
    ],
    [
      "message.extensions[1]",
      SendMessageRequest,
      sending({ extensions: ["a", null] }),
      "must be a string, not null",
    ],
    [
      "message.referenceTaskIds[0]",
      SendMessageRequest,
      sending({ reference_task_ids: [1] }),
      "must be a string, not a number",
    ],
    [
      "configuration",
      SendMessageRequest,
      { ...(sending({}) as object), configuration: [] },
      "must be an object, not an array",
    ],
    [
      "includeArtifacts",
      ListTasksRequest,
      { includeArtifacts: "true" },
      "must be true or false, not a string",
    ],
    ["includeArtifacts", ListTasksRequest, { includeArtifacts: 1 }, "must be true or false, not a number"],
    ["id", GetTaskRequest, { id: 12345 }, "must be a string, not a number"],
  ])("refuses a wrong type at %s (%#)", (field, schema, value, description) => {
    expect(violations(schema, value)).toEqual(only(field, description));
  });

  it("refuses a map that is none, and a wrong value in it under its key", () => {
    const flow = { authorizationUrl: "a", tokenUrl: "b" };
    expect(violations(AuthorizationCodeOAuthFlow, { ...flow, scopes: [] })).toEqual(
      only("scopes", "must be an object, not an array"),
    );
    expect(violations(AuthorizationCodeOAuthFlow, { ...flow, scopes: { "read:all": 1 } })).toEqual(
      only('scopes["read:all"]', "must be a string, not a number"),
    );
  });
});

describe("numbers", () => {
  it.each([
    [-1, "must be from 0 to 2147483647"],
    ["-1", "must be from 0 to 2147483647"],
    [2147483648, "must be from 0 to 2147483647"],
    [1e300, "must be from 0 to 2147483647"],
    ["1e400", "must be a whole number"],
    [1.5, "must be a whole number"],
    ["1.5", "must be a whole number"],
    ["ten", "must be a whole number"],
    ["", "must be a whole number"],
    [" 1", "must be a whole number"],
    ["0x10", "must be a whole number"],
    ["+1", "must be a whole number"],
    [true, "must be a whole number, not a boolean"],
    [[1], "must be a whole number, not an array"],
  ])("refuses %j as historyLength (§3.2.4)", (historyLength, description) => {
    expect(violations(GetTaskRequest, { id: "t", historyLength })).toEqual(
      only("historyLength", description),
    );
  });

  it.each([0, -1, 101, "0", "101"])("refuses %j as pageSize (§3.1.4)", (pageSize) => {
    expect(violations(ListTasksRequest, { pageSize })).toEqual(only("pageSize", "must be from 1 to 100"));
  });

  it.each([-1, 101])("refuses %j as pageSize of push configs", (pageSize) => {
    const value = { taskId: "t", pageSize };
    expect(violations(requests.ListTaskPushNotificationConfigsRequest, value)[0]?.field).toBe("pageSize");
  });
});

describe("bytes", () => {
  it.each([
    "Q",
    "QQ=",
    "QQ===",
    "QQQQQ",
    "QUJD=",
    "=",
    "====",
    "Q=Q=",
    "QQ==QQ==",
    "+_+_",
    "Q Q=",
    "QQ\n==",
    "%%%%",
    "é",
  ])("refuses %j as base64", (raw) => {
    expect(violations(SendMessageRequest, sendingPart({ raw }))).toEqual(
      only("message.parts[0].raw", "must be base64"),
    );
  });
});

describe("timestamps", () => {
  const refused = "must be an RFC 3339 timestamp such as 2026-01-31T12:00:00.000Z";

  it.each([
    "-1",
    "",
    "yesterday",
    "1700000000",
    "2023-10-27",
    "2023-10-27T10:00:00",
    "2023-10-27 10:00:00Z",
    "2023-10-27t10:00:00z",
    "2023-10-27T10:00Z",
    "2023-10-27T10:00:00.Z",
    "2023-10-27T10:00:00.1234567890Z",
    "2023-10-27T10:00:00+0200",
    "2023-10-27T10:00:00+24:00",
    "2023-10-27T24:00:00Z",
    "2023-10-27T10:60:00Z",
    "2023-10-27T10:00:60Z",
    "2023-13-01T00:00:00Z",
    "2023-00-01T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2023-04-31T00:00:00Z",
    "2023-04-00T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
  ])("refuses %j (§5.6.1)", (statusTimestampAfter) => {
    expect(violations(ListTasksRequest, { statusTimestampAfter })).toEqual(
      only("statusTimestampAfter", refused),
    );
  });

  it("refuses a number of milliseconds", () => {
    expect(violations(ListTasksRequest, { status_timestamp_after: 1700000000000 })).toEqual(
      only("statusTimestampAfter", `${refused}, not a number`),
    );
  });
});

describe("identifiers", () => {
  const long = "x".repeat(513);

  it.each([
    ["message.messageId", sending({ messageId: long })],
    ["message.contextId", sending({ contextId: long })],
    ["message.taskId", sending({ taskId: long })],
    ["message.referenceTaskIds[1]", sending({ referenceTaskIds: ["t", long] })],
    ["tenant", { ...(sending({}) as object), tenant: long }],
  ])("refuses %s of more than 512 characters, and takes 512", (field, value) => {
    expect(violations(SendMessageRequest, value)).toEqual(only(field, "must be at most 512 characters long"));
    const shorter = JSON.parse(JSON.stringify(value).replace(long, long.slice(1)));
    expect(parseParams(SendMessageRequest, shorter).ok).toBe(true);
  });

  it.each(["\u0000", "a\nb", "a\r\nb", "\t", "\u001b[2J", "\u007f", "\u0085"])(
    "refuses %j in an id",
    (id) => {
      expect(violations(GetTaskRequest, { id })).toEqual(only("id", "must not contain control characters"));
    },
  );

  it("takes printable ids in any script", () => {
    for (const id of ["a b", "漢字", "😀", "../../etc", "a:b/c?d#e", "'; DROP TABLE tasks; --"]) {
      expect(parseParams(GetTaskRequest, { id })).toEqual({ ok: true, value: { id } });
    }
  });
});

describe("lone surrogates", () => {
  const lone = "a\ud800b";
  const refused = "must not contain a lone surrogate";

  it.each([
    ["message.messageId", sending({ messageId: lone })],
    ["message.extensions[0]", sending({ extensions: ["\udc00"] })],
    ["message.parts[0].text", sendingPart({ text: lone })],
    ["message.parts[0].filename", sendingPart({ text: "a", filename: lone })],
    ["message.parts[0].data", sendingPart({ data: lone })],
    ["message.parts[0].data.a[1].b", sendingPart({ data: { a: [1, { b: lone }] } })],
    ["message.metadata.snake_case", sending({ metadata: { snake_case: lone } })],
    ['message.metadata["a b"][0]', sending({ metadata: { "a b": [lone] } })],
    ["metadata.x", { ...(sending({}) as object), metadata: { x: lone } }],
  ])("are refused at %s", (field, value) => {
    expect(violations(SendMessageRequest, value)).toEqual(only(field, refused));
  });

  it("are refused in names, which are shown escaped", () => {
    const named = "must not contain a lone surrogate in its name";
    expect(violations(SendMessageRequest, sending({ metadata: { deep: { [lone]: 1 } } }))).toEqual(
      only('message.metadata.deep["a\\ud800b"]', named),
    );
    const scopes = { [lone]: "all" };
    expect(violations(AuthorizationCodeOAuthFlow, { authorizationUrl: "a", tokenUrl: "b", scopes })).toEqual(
      only('scopes["a\\ud800b"]', named),
    );
  });

  it("are told from whole pairs", () => {
    expect(parseParams(SendMessageRequest, sendingPart({ text: "\ud83d\ude00" })).ok).toBe(true);
  });
});

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

  it("cost little: half a million wrong elements are refused at once", () => {
    const start = performance.now();
    expect(violations(SendMessageRequest, sending({ extensions: new Array(500_000).fill(1) }))).toHaveLength(
      20,
    );
    expect(performance.now() - start).toBeLessThan(1_000);
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
