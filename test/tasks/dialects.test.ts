// Notifications leave in the dialect of who configured them: what is claimed, again and again, alone and in batches,
// what is filed when it dies, and what is sent again.

import { describe, expect, it } from "vitest";
import { upcoming } from "../../src/tasks/upcoming.ts";
import { flawsOf } from "../protocol/v0_1/shapes.ts";
import {
  BY,
  configOf,
  DAY,
  delivered,
  failed,
  MINUTE,
  onStage,
  START,
  type Stage,
} from "../support/notifications.ts";

const old = { version: "0.3" as const, events: ["statusChanged" as const] };
const oldest = { version: "0.1" as const, events: ["statusChanged" as const] };
const parse = (body: string) => JSON.parse(body) as Record<string, never>;

describe("a notification of a 0.3 config", () => {
  it("is the task as the event left it, as plain JSON", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ ...old, events: ["artifactAdded", "statusChanged"] });
      stage.artifact(task, "é");
      const first = stage.claim();
      expect(first).toMatchObject({ version: "0.3", contentType: "application/json" });
      const artifacts = [{ artifactId: "a", parts: [{ kind: "text", text: "é" }] }];
      const ids = { kind: "task", id: task, contextId: "0-context" };
      expect(parse(first.body)).toEqual({ ...ids, status: { state: "submitted" }, artifacts });
      stage.status(task, "TASK_STATE_COMPLETED");
      const second = stage.claim({ settled: [delivered(first)] });
      const status = { state: "completed", timestamp: new Date(stage.now).toISOString() };
      expect(parse(second.body)).toEqual({ ...ids, status, artifacts });
    }));

  it("has the same bytes on every attempt, whatever has happened since, also to the object", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith(old);
      stage.artifact(task, "first");
      stage.status(task, "TASK_STATE_WORKING");
      let claim = stage.claim();
      const { body, id } = claim;
      stage.artifact(task, "second");
      stage.settle(failed(claim));
      await stage.pass(MINUTE);
      await stage.start();
      claim = stage.claim();
      expect(claim).toMatchObject({ attempt: 2, id, body });
    }));
});

describe("a notification of a 0.1 config", () => {
  it("is the task as it was when its status changed, however late it is sent", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith(oldest);
      stage.artifact(task, "one ");
      stage.status(task, "TASK_STATE_WORKING");
      stage.artifact(task, "two");
      stage.status(task, "TASK_STATE_COMPLETED");
      const first = stage.claim();
      expect(first).toMatchObject({ version: "0.1", contentType: "application/json", sequence: 1 });
      const status = { state: "working", timestamp: new Date(stage.now).toISOString() };
      expect(parse(first.body)).toEqual({
        id: task,
        sessionId: "0-context",
        status,
        artifacts: [{ parts: [{ type: "text", text: "one " }], index: 0 }],
      });
      stage.settle(failed(first));
      await stage.pass(MINUTE);
      await stage.start();
      const again = stage.claim();
      expect(again).toMatchObject({ id: first.id, attempt: 2, body: first.body });
      const second = stage.claim({ settled: [delivered(again)] });
      expect(second.sequence).toBe(2);
      expect(flawsOf("Task", parse(second.body))).toEqual([]);
      expect(parse(second.body)).toMatchObject({
        status: { state: "completed" },
        artifacts: [{ parts: [{ text: "one " }, { text: "two" }] }],
      });
    }));

  it("is not made of chunks: a thousand of them are one notification with the status that follows", () =>
    onStage((stage) => {
      const { task } = stage.taskWith(oldest);
      for (let i = 0; i < 1_000; i++) stage.artifact(task, "x");
      stage.status(task, "TASK_STATE_COMPLETED");
      const claim = stage.claim();
      expect(claim.sequence).toBe(1);
      expect((parse(claim.body).artifacts as never as { parts: unknown[] }[])[0]?.parts).toHaveLength(1_000);
      expect(stage.exchange({ settled: [delivered(claim)] })).toEqual({ claims: [], more: false });
    }));

  it("tells of a chunk as the task that it leaves, where the config asks for chunks", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ version: "0.1", events: ["artifactAdded"] });
      stage.artifact(task, "x");
      expect(parse(stage.claim().body)).toMatchObject({ id: task, status: { state: "submitted" } });
    }));
});

describe("a batch", () => {
  const batch = { key: "k", maxEvents: 50, maxWaitMs: 1 };

  it.each([
    ["0.3", { ...old, batch }, "task"],
    ["0.1", { ...oldest, batch }, undefined],
  ])("of %s holds payloads of that dialect, the same on every attempt", (version, own, kind) =>
    onStage(async (stage) => {
      const { task } = stage.taskWith(own);
      stage.status(task, "TASK_STATE_WORKING");
      stage.status(task, "TASK_STATE_INPUT_REQUIRED");
      await stage.pass(1);
      const claim = stage.claim();
      expect(claim).toMatchObject({ version, contentType: "application/json" });
      const pieces = JSON.parse(claim.body) as { event: string; payload: Record<string, unknown> }[];
      expect(pieces.map(({ event }) => event)).toEqual(["statusChanged", "inputRequired"]);
      expect(pieces.map(({ payload }) => [payload.kind, payload.status])).toEqual([
        [kind, expect.objectContaining({ state: "working" })],
        [kind, expect.objectContaining({ state: "input-required" })],
      ]);
      stage.settle(failed(claim));
      stage.status(task, "TASK_STATE_COMPLETED");
      await stage.pass(MINUTE);
      await stage.start();
      expect(stage.claim()).toMatchObject({ id: claim.id, body: claim.body });
    }),
  );
});

describe("what died and what is sent again", () => {
  it.each([
    ["1.0", {}],
    ["0.3", old],
    ["0.1", oldest],
  ])("of %s is filed with the body it had, also when its config has gone", (_, own) =>
    onStage(async (stage) => {
      const { task, claim } = dead(stage, own);
      await stage.commands.delete(task, "main", BY);
      const [letter] = stage.store.dead.load("home", [claim.id], stage.store.journal);
      expect(letter?.body).toBe(claim.body);
      expect(letter).not.toHaveProperty("version");
    }),
  );

  it.each([
    ["1.0", {}],
    ["0.3", old],
    ["0.1", oldest],
  ])("of %s has the same id and body when it is retried, and when it is replayed", (_, own) =>
    onStage(async (stage) => {
      const { task, claim } = dead(stage, own);
      const { seq, sequence } = place(stage, task);
      stage.operations.retryDead([{ task, config: "main", seq, sequence }], BY);
      const retried = stage.claim();
      expect(retried).toMatchObject({ id: claim.id, body: claim.body, version: claim.version });
      stage.settle(delivered(retried));
      const query = { by: BY, task, config: "main", from: START, to: START + DAY };
      expect(stage.operations.replay(query)).toMatchObject({ ok: true, value: { notifications: 1 } });
      expect(stage.claim()).toMatchObject({ id: claim.id, body: claim.body });
    }),
  );

  /** A notification whose attempts have all been refused. */
  function dead(stage: Stage, own: object) {
    const { task } = stage.taskWith({ ...own, retryMs: [0] });
    stage.status(task, "TASK_STATE_WORKING");
    const claim = stage.claim();
    stage.settle(failed(claim));
    expect(stage.store.dead.ids(9)).toEqual([claim.id]);
    return { task, claim };
  }

  function place(stage: Stage, task: string) {
    const { events } = stage.store.configs.get(task, "main") ?? { events: null };
    const [[seq, sequence] = [0, 0]] = [...upcoming(stage.store.journal, { task, list: null }, events, 0, 0)];
    return { seq, sequence };
  }
});

describe("a config that is set again in another dialect", () => {
  it("has what is pending leave in the new one, under the same id", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.status(task, "TASK_STATE_WORKING");
      const before = stage.claim();
      stage.settle(failed(before));
      await stage.commands.set(stage.record(task), configOf(task, old), BY);
      await stage.pass(MINUTE);
      const after = stage.claim();
      expect(after).toMatchObject({ id: before.id, version: "0.3", contentType: "application/json" });
      expect(parse(after.body)).toMatchObject({ kind: "task", id: task });
    }));
});
