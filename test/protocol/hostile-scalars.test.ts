// Strings and numbers that are refused, with the path of the field and a reason in plain words (§3.3.2).

import { describe, expect, it } from "vitest";
import { parseParams } from "../../src/protocol/parse.ts";
import * as requests from "../../src/protocol/requests.ts";
import { AuthorizationCodeOAuthFlow } from "../../src/protocol/security.ts";
import { only, sending, sendingPart, violations } from "./refused.ts";

const { SendMessageRequest, ListTasksRequest, GetTaskRequest } = requests;

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
    ["tenant", { ...sending({}), tenant: long }],
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
    ["metadata.x", { ...sending({}), metadata: { x: lone } }],
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
