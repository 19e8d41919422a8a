// Differential tests of the translation between 1.0 and 0.3 against the official SDK's own (@a2a-js/sdk): over
// generated values both say the same, and what went to 0.3 and back is what it was, less the listed losses.

import { TaskPushNotificationConfig as SdkPushConfig, SendMessageRequest as SdkSend } from "@a2a-js/sdk";
import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { StreamResponse } from "../../../src/protocol/events.ts";
import { TaskPushNotificationConfig } from "../../../src/protocol/push-config.ts";
import { SendMessageRequest } from "../../../src/protocol/requests.ts";
import type { FieldSpecs, MessageSchema, OneofSpecs } from "../../../src/protocol/schema.ts";
import { LegacyEvent, toCoreEvent, toLegacyEvent } from "../../../src/protocol/v0_3/events.ts";
import {
  LegacyTaskPushConfig,
  toCoreTaskPushConfig,
  toLegacyTaskPushConfig,
} from "../../../src/protocol/v0_3/push-config.ts";
import { MessageSendParams, toCoreSendRequest } from "../../../src/protocol/v0_3/requests.ts";
import { arbitrary, seeded } from "../arbitrary.ts";
import { withoutLosses } from "./losses.ts";
import {
  sdkToCoreEvent,
  sdkToCoreRequest,
  sdkToLegacyEvent,
  throughSdk,
  throughSdkClient,
} from "./oracle.ts";

const CASES = 150;

function samples<T>(seed: number, schema: unknown): T[] {
  const random = seeded(seed);
  return Array.from(
    { length: CASES },
    () => arbitrary(random, schema as MessageSchema<FieldSpecs, OneofSpecs>) as T,
  );
}

/** Tasks of ours have a context, and those of 0.3 must. */
function events(seed: number): StreamResponse[] {
  return samples<StreamResponse>(seed, StreamResponse).map((event) =>
    event.task ? { task: { contextId: "c", ...event.task } } : event,
  );
}

/** The SDK writes `false` where nothing is said, and `final` at terminal states only. */
function asTheSdkWrites(event: LegacyEvent): object {
  const plain = JSON.parse(JSON.stringify(event));
  if (event.kind === "artifact-update") return { append: false, lastChunk: false, ...plain };
  if (event.kind !== "status-update") return plain;
  return { ...plain, final: plain.final && event.status.state !== "input-required" };
}

describe("an event", () => {
  it("is to 0.3 what the SDK makes of it", () => {
    for (const event of events(1)) {
      expect(asTheSdkWrites(toLegacyEvent(event))).toEqual(sdkToLegacyEvent(event));
    }
  });

  it("comes back as it was, less what 0.3 cannot say", () => {
    for (const event of events(2)) {
      const wire = JSON.parse(JSON.stringify(toLegacyEvent(event)));
      expect(toCoreEvent(z.parse(LegacyEvent, wire))).toEqual(withoutLosses(event));
    }
  });

  it("of 0.3 means to us what it means to the SDK", () => {
    for (const event of events(3)) {
      const legacy = sdkToLegacyEvent(event);
      const ours = toCoreEvent(z.parse(LegacyEvent, legacy));
      expect(throughSdk("StreamResponse", ours)).toEqual(sdkToCoreEvent(legacy));
    }
  });
});

describe("a message that is sent", () => {
  const requests = (seed: number) =>
    samples<SendMessageRequest>(seed, SendMessageRequest).map(({ tenant: _, ...request }) => request);

  it("by the SDK's 0.3 client is the request it was given", async () => {
    for (const request of requests(4)) {
      const { sent } = await throughSdkClient((client) => client.sendMessage(SdkSend.fromJSON(request)));
      const core = toCoreSendRequest(z.parse(MessageSendParams, sent.params));
      expect(core).toEqual(expected(request));
    }
  });

  it("means to us what it means to the SDK's server", async () => {
    for (const request of requests(5)) {
      const { sent } = await throughSdkClient((client) => client.sendMessage(SdkSend.fromJSON(request)));
      const ours = toCoreSendRequest(z.parse(MessageSendParams, sent.params));
      const theirs = await sdkToCoreRequest("message/send", sent.params);
      expect(throughSdk("SendMessageRequest", ours)).toEqual(withDefaultId(theirs as SendMessageRequest));
    }
  });

  /** A config without id stays without one at the SDK's server. */
  function withDefaultId({ configuration, ...rest }: SendMessageRequest): SendMessageRequest {
    const { taskPushNotificationConfig: push, ...others } = configuration ?? {};
    if (push === undefined) return { ...rest, ...(configuration && { configuration }) };
    return {
      ...rest,
      configuration: { ...others, taskPushNotificationConfig: { id: "default", ...push } },
    };
  }

  /** A config in 0.3 says nothing of its tenant and task. */
  function expected(request: SendMessageRequest): SendMessageRequest {
    const { configuration, ...rest } = withoutLosses(request);
    if (configuration === undefined) return rest;
    const { taskPushNotificationConfig: push, ...others } = configuration;
    const { tenant: _tenant, taskId: _taskId, ...config } = push ?? { url: "" };
    const withId = push && { taskPushNotificationConfig: { id: "default", ...config } };
    return { ...rest, configuration: { ...others, ...withId } };
  }
});

describe("a push notification config", () => {
  const configs = (seed: number) =>
    samples<TaskPushNotificationConfig>(seed, TaskPushNotificationConfig).map(({ tenant: _, ...config }) => ({
      id: "default",
      ...config,
      taskId: config.taskId ?? "t",
    }));

  it("is to 0.3 what the SDK's client sends for it, and comes back as it was", async () => {
    for (const config of configs(6)) {
      const legacy = toLegacyTaskPushConfig(config);
      const { sent } = await throughSdkClient(
        (client) => client.createTaskPushNotificationConfig(SdkPushConfig.fromJSON(config)),
        legacy,
      );
      expect(legacy).toEqual(sent.params);
      expect(toCoreTaskPushConfig(z.parse(LegacyTaskPushConfig, sent.params))).toEqual(config);
    }
  });

  it("means to the SDK's server what it means to us", async () => {
    for (const config of configs(7)) {
      const legacy = toLegacyTaskPushConfig(config);
      const theirs = await sdkToCoreRequest("tasks/pushNotificationConfig/set", legacy);
      expect(throughSdk("TaskPushNotificationConfig", toCoreTaskPushConfig(legacy))).toEqual(theirs);
    }
  });
});
