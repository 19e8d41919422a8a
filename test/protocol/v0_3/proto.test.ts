// Differential tests of the proto's forms of 0.3, which HTTP+JSON speaks, against the official SDK's client: what we
// write it reads to the same, what it sends we read to the same, less the listed losses.

import { SendMessageRequest as SdkSend } from "@a2a-js/sdk";
import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { SendMessageRequest } from "../../../src/protocol/requests.ts";
import type { FieldSpecs, MessageSchema, OneofSpecs } from "../../../src/protocol/schema.ts";
import { Task } from "../../../src/protocol/task.ts";
import { toLegacyEvent } from "../../../src/protocol/v0_3/events.ts";
import { toCoreMessage, toLegacyMessage } from "../../../src/protocol/v0_3/message.ts";
import {
  fromProtoMessage,
  fromProtoState,
  ProtoMessage,
  ProtoTaskState,
  toProtoEvent,
  toProtoMessage,
  toProtoTask,
} from "../../../src/protocol/v0_3/proto-entities.ts";
import { fromProtoSend, ProtoSendRequest } from "../../../src/protocol/v0_3/proto-requests.ts";
import { toCoreSendRequest } from "../../../src/protocol/v0_3/requests.ts";
import { toLegacyTask } from "../../../src/protocol/v0_3/task.ts";
import { arbitrary, seeded } from "../arbitrary.ts";
import { withoutLosses, withoutProtoLosses } from "./losses.ts";
import { throughSdkRestClient, toJson } from "./oracle.ts";

const CASES = 100;

function samples<T>(seed: number, schema: unknown): T[] {
  const random = seeded(seed);
  return Array.from(
    { length: CASES },
    () => arbitrary(random, schema as MessageSchema<FieldSpecs, OneofSpecs>) as T,
  );
}

const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Data that is no object is wrapped under a mark that the official client of this binding does not keep. */
function withObjectData<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (key, member) =>
    key === "parts" ? member.map((part: object) => wrapped(part)) : member,
  );
}

function wrapped(part: { data?: unknown }): object {
  return "data" in part && !isObject(part.data) ? { ...part, data: { value: part.data } } : part;
}

describe("a task in the form of the proto", () => {
  it("is read by the SDK's client as it was, less what is lost on the way", async () => {
    for (const task of samples<Task>(1, Task)) {
      const { answer } = await throughSdkRestClient(
        (client) => client.getTask({ tenant: "", id: task.id }),
        toProtoTask(toLegacyTask(task)),
      );
      // The client drops the extensions of artifacts.
      const artifacts = task.artifacts?.map(({ extensions: _, ...artifact }) => artifact);
      const expected = withoutProtoLosses(withObjectData({ ...task, ...(artifacts && { artifacts }) }));
      expect(toJson("Task", answer)).toEqual(expected);
    }
  });
});

describe("a message in the form of the proto", () => {
  it("is what it was after both ways", () => {
    for (const { message } of samples<SendMessageRequest>(2, SendMessageRequest)) {
      const proto = JSON.parse(JSON.stringify(toProtoMessage(toLegacyMessage(message))));
      const { referenceTaskIds: _, ...expected } = withoutLosses(message);
      expect(toCoreMessage(fromProtoMessage(z.parse(ProtoMessage, proto)))).toEqual(expected);
    }
  });

  it("that the SDK's client sends is the one it was given", async () => {
    for (const { message } of samples<SendMessageRequest>(3, SendMessageRequest)) {
      const request = { message: withObjectData(message) };
      const { sent } = await throughSdkRestClient((client) => client.sendMessage(SdkSend.fromJSON(request)));
      const core = toCoreSendRequest(fromProtoSend(z.parse(ProtoSendRequest, sent)));
      expect(core.message).toEqual(withoutProtoLosses(request.message));
    }
  });
});

describe("the proto", () => {
  it("names events as the StreamResponse does", () => {
    const status = { state: "TASK_STATE_CANCELED" as const };
    const base = { taskId: "t", contextId: "c" };
    expect(toProtoEvent(toLegacyEvent({ statusUpdate: { ...base, status } }))).toEqual({
      statusUpdate: { ...base, status: { state: "TASK_STATE_CANCELLED" }, final: true },
    });
    const artifact = { artifactId: "a", parts: [{ text: "x" }] };
    expect(toProtoEvent(toLegacyEvent({ artifactUpdate: { ...base, artifact, append: true } }))).toEqual({
      artifactUpdate: { ...base, artifact, append: true },
    });
  });

  it.each([
    ["TASK_STATE_CANCELED", "canceled"],
    ["TASK_STATE_CANCELLED", "canceled"],
    [5, "canceled"],
    ["TASK_STATE_INPUT_REQUIRED", "input-required"],
  ])("says %s for %s", (proto, legacy) => {
    expect(fromProtoState(z.parse(ProtoTaskState, proto))).toBe(legacy);
  });
});
