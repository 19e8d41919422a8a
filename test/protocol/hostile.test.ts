// What is refused, with the path of the field and a reason in plain words (§3.3.2: servers specify which
// parameter failed and why): the shape of requests. Each table is one rule.

import { describe, expect, it } from "vitest";
import { parseParams } from "../../src/protocol/parse.ts";
import * as requests from "../../src/protocol/requests.ts";
import type { Schema } from "../../src/protocol/schema.ts";
import { AuthorizationCodeOAuthFlow } from "../../src/protocol/security.ts";
import { only, sending, sendingPart, violations } from "./refused.ts";

const { SendMessageRequest, ListTasksRequest, GetTaskRequest } = requests;

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
    ["message.messageId", SendMessageRequest, sending({ messageId: "" })],
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
    expect(violations(SendMessageRequest, { ...sending({}), configuration })).toEqual([
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
    const two = [{ text: "a" }, { text: "b" }];
    expect(parseParams(SendMessageRequest, sending({ parts: two }), limits).ok).toBe(true);
    const three = sending({ parts: [...two, { text: "c" }] });
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
      { ...sending({}), configuration: [] },
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
