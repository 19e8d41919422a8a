// What the specification asks of streams, from outside and over both bindings alike.

import { abortAllDurableObjects } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Message } from "../../src/protocol/message.ts";
import { BINDINGS, type Binding, open, over, request, toOutcome } from "../support/bindings.ts";
import { type Client, kindOf, toMessage } from "../support/client.ts";
import { ended, endIn, endings, members, newClient } from "./tasks.ts";

// The agent that is asked to throw is logged, as it should be.
beforeEach(() => void vi.spyOn(console, "error").mockImplementation(() => {}));
afterEach(() => void vi.restoreAllMocks());

describe.each(BINDINGS)("over %s", (binding: Binding) => {
  const { reason } = over(binding);

  describe("streams (§3.1.2, §3.1.6)", () => {
    const openSend = (client: Client, message: Message) =>
      open(binding, client, "SendStreamingMessage", { message });
    const subscribe = (client: Client, id: string, last?: string) =>
      open(binding, client, "SubscribeToTask", { id }, last === undefined ? {} : { "last-event-id": last });

    it("begin with the task, then tell everything in its order, and end with the task's end", async () => {
      const frames = await (await openSend(newClient(), toMessage("stream:3:0"))).rest();
      expect(frames.map(({ event }) => kindOf(event))).toEqual([
        "task",
        "TASK_STATE_WORKING",
        "artifact",
        "artifact",
        "artifact",
        "TASK_STATE_COMPLETED",
      ]);
      for (const { event } of frames) expect(Object.keys(event)).toHaveLength(1);
    });

    it("or are exactly one Message", async () => {
      const frames = await (await openSend(newClient(), toMessage("message"))).rest();
      expect(frames.map(({ event }) => kindOf(event))).toEqual(["message"]);
      expect(frames[0]?.id).toBeUndefined();
    });

    it("name task and context in every event, and know no final and no kind", async () => {
      const frames = await (await openSend(newClient(), toMessage("stream:2:0"))).rest();
      const task = frames[0]?.event.task;
      for (const { event } of frames.slice(1)) {
        const { taskId, contextId } = event.statusUpdate ?? event.artifactUpdate ?? {};
        expect({ taskId, contextId }).toEqual({ taskId: task?.id, contextId: task?.contextId });
      }
      const names = new Set([...members(frames.map(({ event }) => event))].map(([name]) => name));
      for (const name of ["final", "kind", "taskStatusUpdate", "index", "createdAt"])
        expect(names).not.toContain(name);
    });

    it("add chunks to an artifact and mark its last, which is the task's artifact in the end (§4.2.2)", async () => {
      const client = newClient();
      const frames = await (await openSend(client, toMessage("stream:3:0"))).rest();
      const updates = frames.flatMap(({ event }) => event.artifactUpdate ?? []);
      expect(updates.map(({ append, lastChunk }) => [append ?? false, lastChunk ?? false])).toEqual([
        [false, false],
        [true, false],
        [true, true],
      ]);
      const { artifacts } = await client.get(frames[0]?.event.task?.id ?? "");
      expect(artifacts?.[0]?.parts).toEqual(updates.flatMap(({ artifact }) => artifact.parts));
    });

    it("have ids that only grow", async () => {
      const frames = await (await openSend(newClient(), toMessage("stream:20:1"))).rest();
      const ids = frames.map(({ id }) => Number(id));
      expect(ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? 0))).toBe(true);
    });

    it("close at input-required when they came with the message", async () => {
      const frames = await (await openSend(newClient(), toMessage("input"))).rest();
      expect(frames.map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_INPUT_REQUIRED");
    });

    it("stay open at auth-required until the end (§7.6.1)", async () => {
      const client = newClient();
      const stream = await openSend(client, toMessage("auth"));
      const frames = await stream.until((event) => kindOf(event) === "TASK_STATE_AUTH_REQUIRED");
      await client.sendForTask({ says: "granted", taskId: frames[0]?.event.task?.id });
      expect((await stream.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_COMPLETED");
    });

    it("stay open across input-required when they were subscribed to", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("input");
      const stream = await subscribe(client, id);
      expect((await stream.next())?.event.task).toEqual(await client.get(id));
      await client.sendForTask({ says: "input", taskId: id });
      await client.cancel(id).catch(() => {});
      const kinds = (await stream.rest()).map(({ event }) => kindOf(event));
      expect(kinds.at(-1)).toMatch(/^TASK_STATE_(CANCELED|COMPLETED)$/);
    });

    it("can be subscribed to while nothing runs, also after a restart", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("input");
      await abortAllDurableObjects();
      const stream = await subscribe(client, id);
      expect((await stream.next())?.event.task?.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
      await client.sendForTask({ says: "go on", taskId: id });
      expect((await stream.rest()).map(({ event }) => kindOf(event)).at(-1)).toBe("TASK_STATE_COMPLETED");
    });

    it("tell every subscriber the same, and one that leaves takes nothing from the others", async () => {
      const client = newClient();
      const first = await openSend(client, toMessage("stream:12:20"));
      const opening = await first.next();
      const id = opening?.event.task?.id ?? "";
      const [leaving, staying, late] = await Promise.all([
        subscribe(client, id, opening?.id),
        subscribe(client, id, opening?.id),
        subscribe(client, id),
      ]);
      await leaving.next();
      await leaving.leave();
      const all = await first.rest();
      expect(await staying.rest()).toEqual(all);
      const seen = await late.rest();
      expect(seen.slice(1)).toEqual(all.slice(all.length - seen.length + 1));
      expect((await client.get(id)).status.state).toBe("TASK_STATE_COMPLETED");
    });

    it.each(ended)("of a task that is %s are UnsupportedOperation, as a plain error", async (state) => {
      const client = newClient();
      const { id } = await endIn(client, state);
      const response = await request(
        binding,
        client,
        "SubscribeToTask",
        { id },
        { accept: "text/event-stream" },
      );
      expect(response.headers.get("content-type")).toMatch(/^application\/(a2a\+)?json$/);
      expect(await toOutcome(binding, response)).toMatchObject({ reason: "UNSUPPORTED_OPERATION" });
    });

    it.each(ended)("of a task that is %s meanwhile replay what was missed, and close", async (state) => {
      const client = newClient();
      const stream = await openSend(client, toMessage(endings[state]));
      const opening = await stream.next();
      const id = opening?.event.task?.id ?? "";
      const live = await stream.rest();
      if (state === "TASK_STATE_CANCELED") await client.cancel(id);
      const replay = await (await subscribe(client, id, opening?.id)).rest();
      expect(replay.slice(0, live.length)).toEqual(live);
      expect(replay.map(({ event }) => kindOf(event)).at(-1)).toBe(state);
      const last = replay.at(-1)?.id ?? "";
      expect(await (await subscribe(client, id, last)).rest()).toEqual([]);
      for (const [index, frame] of replay.entries()) {
        expect(await (await subscribe(client, id, frame.id)).rest()).toEqual(replay.slice(index + 1));
      }
    });

    it("from a Last-Event-ID that never was are refused", async () => {
      const client = newClient();
      const { id } = await client.sendForTask("hello");
      for (const last of ["999999", "-1", "abc", "1.5", "9007199254740993"]) {
        const headers = { "last-event-id": last };
        expect(await reason(client, "SubscribeToTask", { id }, headers), last).toBe("INVALID_PARAMS");
      }
    });
  });
});
