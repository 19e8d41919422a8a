// The schemas and the table of operations against a2a.proto, field by field and in both directions. The
// fixture lists every message, field, enum and rpc of the proto.

import { describe, expect, it } from "vitest";
import * as agentCard from "../../src/protocol/agent-card.ts";
import * as artifact from "../../src/protocol/artifact.ts";
import * as events from "../../src/protocol/events.ts";
import * as message from "../../src/protocol/message.ts";
import { type OperationName, operations } from "../../src/protocol/operations.ts";
import * as part from "../../src/protocol/part.ts";
import * as pushConfig from "../../src/protocol/push-config.ts";
import * as requests from "../../src/protocol/requests.ts";
import type { EnumSchema } from "../../src/protocol/scalars.ts";
import {
  type FieldSpecs,
  type MessageSchema,
  type OneofSpecs,
  toProtoName,
} from "../../src/protocol/schema.ts";
import * as security from "../../src/protocol/security.ts";
import { TaskState } from "../../src/protocol/state.ts";
import * as task from "../../src/protocol/task.ts";
import proto from "../fixtures/proto/a2a.json";

type ProtoField = {
  name: string;
  json: string;
  type: string;
  repeated?: boolean;
  map?: boolean;
  optional?: boolean;
  required?: boolean;
  oneof?: string;
};
type AnyMessage = MessageSchema<FieldSpecs, OneofSpecs>;

const { CreateTaskPushNotificationConfigRequest, Empty, ...ours } = {
  ...agentCard,
  ...artifact,
  ...events,
  ...message,
  ...part,
  ...pushConfig,
  ...requests,
  ...security,
  ...task,
};
const schemas = Object.fromEntries(
  Object.entries(ours).filter(
    (entry): entry is [string, (typeof entry)[1] & AnyMessage] => "fields" in entry[1],
  ),
);
const enums: Record<string, EnumSchema<string>> = { TaskState, Role: message.Role };
const theirs: Record<string, ProtoField[]> = proto.messages;

/** Our fields in the words of the fixture; the name of a oneof is not on the wire. */
function describeFields({ fields, oneof }: AnyMessage): ProtoField[] {
  const plain = Object.entries(fields).map(([json, spec]): ProtoField => {
    const { schema, presence } = "presence" in spec ? spec : { schema: spec, presence: "implicit" };
    return {
      name: toProtoName(json),
      json,
      type: schema.proto,
      ...(schema.cardinality === "repeated" && { repeated: true }),
      ...(schema.cardinality === "map" && { map: true }),
      ...(presence === "optional" && { optional: true }),
      ...(presence.startsWith("required") && { required: true }),
    };
  });
  const members = Object.entries(oneof).map(([json, schema]) => ({
    name: toProtoName(json),
    json,
    type: schema.proto,
    oneof: "",
  }));
  return [...members, ...plain];
}

function byName(fields: ProtoField[]): Record<string, ProtoField> {
  return Object.fromEntries(
    fields.map((field) => [field.name, field.oneof === undefined ? field : { ...field, oneof: "" }]),
  );
}

describe("messages of a2a.proto v1.0.1", () => {
  it("has a schema for every message and no other (§4)", () => {
    expect(Object.keys(schemas).sort()).toEqual(Object.keys(theirs).sort());
  });

  it.each(Object.keys(theirs))("%s has the fields, types and presence of the proto (§4, §5.7)", (name) => {
    const schema = schemas[name] as AnyMessage;
    expect(schema.proto).toBe(name);
    expect(byName(describeFields(schema))).toEqual(byName(theirs[name] ?? []));
  });

  it("requires of a new push config only the task more than the proto does (§3.1.7)", () => {
    const created = byName(describeFields(CreateTaskPushNotificationConfigRequest));
    const config = byName(describeFields(pushConfig.TaskPushNotificationConfig));
    expect(created).toEqual({ ...config, task_id: { ...config.task_id, required: true } });
    expect(Empty.fields).toEqual({});
  });
});

describe("enums of a2a.proto v1.0.1", () => {
  it.each(Object.entries(proto.enums))("%s has the names and numbers of the proto (§5.5)", (name, values) => {
    const [zero, ...rest] = Object.entries(values);
    expect(enums[name]?.numbers).toEqual(Object.fromEntries(rest));
    expect(enums[name]?.unspecified).toEqual([0, zero?.[0], "UNRECOGNIZED"]);
  });

  it("has every enum and no other", () => {
    expect(Object.keys(enums).sort()).toEqual(Object.keys(proto.enums).sort());
  });
});

describe("rpcs of a2a.proto v1.0.1", () => {
  const toOurPath = (path: string) =>
    path.replace(/\{(\w+)=\*\}/g, (_, name: string) => `{${theirJsonName(name)}}`);
  const theirJsonName = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

  it("has every operation and no other (§5.3)", () => {
    expect(Object.keys(operations).sort()).toEqual(Object.keys(proto.rpcs).sort());
  });

  it.each(Object.entries(proto.rpcs))(
    "%s has the messages and HTTP bindings of the proto (§11.3)",
    (name, rpc) => {
      const operation = operations[name as OperationName];
      expect(operation.params.proto).toBe(rpc.request);
      expect(operation.result.proto).toBe(rpc.response);
      expect(operation.streaming).toBe(rpc.stream);
      const served = operation.rest.flatMap(({ verb, path }) => [
        `${verb} ${path}`,
        `${verb} /{tenant}${path}`,
      ]);
      // The prose of §11.3.2 subscribes by POST, the proto by GET: both are served.
      const prose =
        name === "SubscribeToTask"
          ? ["POST /tasks/{id}:subscribe", "POST /{tenant}/tasks/{id}:subscribe"]
          : [];
      const bound = rpc.http.map(({ verb, path }) => `${verb} ${toOurPath(path)}`);
      expect(served.sort()).toEqual([...bound, ...prose].sort());
    },
  );

  it.each(Object.entries(operations))("%s takes its path parameters from required fields", (_, operation) => {
    const fields: FieldSpecs = operation.params.fields;
    for (const { path } of operation.rest) {
      for (const [, name = ""] of path.matchAll(/\{(\w+)\}/g)) {
        expect(fields[name]).toMatchObject({ presence: "required" });
      }
    }
  });
});
