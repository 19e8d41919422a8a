// What an endpoint is given to send: the bytes of a notification, its id, and which lanes a key stands for.

import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { type ExchangeAnswer, fromWire, toWire } from "../../src/delivery/exchange.ts";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";
import type { StreamResponse } from "../../src/protocol/events.ts";
import { headOf, notificationId } from "../../src/tasks/claims.ts";
import { createClient, homeOf } from "../support/client.ts";
import { BY, configOf, delivered, ENDPOINT, newName, onStage, Stage } from "../support/notifications.ts";

const batch = { key: "k", maxEvents: 50, maxWaitMs: 1 };

describe("the body of a claim", () => {
  it("is the event as subscribers see it, byte for byte", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      const text = '\u0000 \u2028 \u{1F600} </script> \\ " é';
      const seq = stage.artifact(task, text);
      const { body } = stage.claim();
      expect(body).toBe(stage.store.journal.read(task, seq - 1)[0]?.body);
      expect((JSON.parse(body) as StreamResponse).artifactUpdate?.artifact.parts).toEqual([{ text }]);
    }));

  it("is whole when the event takes more than one row", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      const text = "\u{1F600}".repeat(400_000);
      stage.artifact(task, text);
      stage.artifact(task, "next");
      const claim = stage.claim();
      expect((JSON.parse(claim.body) as StreamResponse).artifactUpdate?.artifact.parts).toEqual([{ text }]);
      expect(stage.claim({ settled: [delivered(claim)] }).body).toContain("next");
    }));

  it("of a batch is an array of JSON that holds each payload as it is", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ batch });
      for (const text of ["\u2028", '"}],[{"', "\u{1F600}"]) stage.artifact(task, text);
      await stage.pass(1);
      const pieces = JSON.parse(stage.claim().body) as { payload: unknown }[];
      const events = stage.store.journal.read(task, 1).map(({ body }) => JSON.parse(body) as unknown);
      expect(pieces.map(({ payload }) => payload)).toEqual(events);
    }));
});

describe("claims that cross RPC", () => {
  it("arrive however large the events are, and in whatever letters", { timeout: 60_000 }, async () => {
    const client = createClient();
    await client.sendForTask("a home with a database");
    const MIB = 1_048_576;
    // 8 MiB of letters of three bytes each, and one event as large as a task may be with a single letter of two.
    const texts = [..."abc"].map(() => "\u6f22".repeat((8 * MIB) / 3 - 400));
    texts.push(`${"x".repeat(16 * MIB - 1_000)}\u6f22`);
    const tasks = await runInDurableObject(homeOf(client.owner), async (_, { storage }) => {
      const stage = new Stage(storage);
      await stage.start();
      return texts.map((text) => {
        const { task } = stage.taskWith();
        stage.artifact(task, text);
        return task;
      });
    });
    // The object has read its database before there were lanes.
    await abortAllDurableObjects();
    const seen: string[] = [];
    for (let more = true; more; ) {
      const wire = await homeOf(client.owner).exchange({
        endpoint: ENDPOINT,
        settled: [],
        want: 10,
        allowances: [],
        busy: [],
        counters: {},
      });
      const answer = fromWire(wire);
      more = answer.more;
      for (const { body, task } of answer.claims) {
        seen.push(task);
        const { artifactUpdate } = JSON.parse(body) as StreamResponse;
        expect(artifactUpdate?.artifact.parts[0]?.text === texts[tasks.indexOf(task)]).toBe(true);
      }
    }
    expect(seen.sort()).toEqual(tasks.sort());
  });
});

describe("what an endpoint is given at once", () => {
  const MIB = 1_048_576;
  const HAN = "\u6f22";
  const sizeOf = (answer: ExchangeAnswer) => {
    const { claims } = toWire(answer);
    const bodies = claims.flatMap((claim) => [claim, ...(claim.following ?? [])]);
    const rest = JSON.stringify(claims, (name, value) => (name === "body" ? null : value)).length;
    return bodies.reduce((sum, { body }) => sum + body.byteLength, rest);
  };

  it("is well below the 32 MiB that RPC carries, whatever is due", { timeout: 60_000 }, () =>
    onStage(async (stage) => {
      const sealed = "x".repeat(120_000);
      const old: Partial<StoredConfig> = { version: "0.3", events: ["statusChanged"], sealed };
      const due: [own: Partial<StoredConfig>, fill: (task: string) => unknown][] = [
        // Many that are small but for their secrets, and large ones at last.
        ...Array.from({ length: 40 }, () => [{ sealed }, () => {}] as (typeof due)[0]),
        [{ sealed }, (task) => stage.artifact(task, HAN.repeat((2 * MIB) / 3))],
        [{ sealed }, (task) => stage.artifact(task, HAN.repeat((16 * MIB) / 3 - 400))],
        // The whole task again and again, of which each chunk is small.
        [old, (task) => stage.artifact(task, HAN.repeat(1_900_000))],
        [old, (task) => stage.artifact(task, HAN.repeat(1_900_000))],
        [{ batch, sealed }, (task) => stage.artifact(task, HAN.repeat((16 * MIB) / 3 - 400))],
        [{ batch, sealed }, () => {}],
      ];
      for (const [own, fill] of due) {
        const { task } = stage.taskWith(own);
        fill(task);
        for (let i = 0; i < 5; i++) stage.status(task);
        await stage.pass(1);
      }
      await stage.pass(1_000);
      const sizes: number[] = [];
      const sent = new Set<string>();
      for (let answer = stage.exchange({ want: 48 }); answer.claims.length > 0; ) {
        sizes.push(sizeOf(answer));
        for (const { task } of answer.claims) sent.add(task);
        answer = stage.exchange({ want: 48, settled: answer.claims.map(delivered) });
      }
      expect(sent.size).toBe(due.length);
      expect(Math.max(...sizes)).toBeGreaterThan(16 * MIB);
      expect(Math.max(...sizes)).toBeLessThan(26 * MIB);
    }),
  );
});

describe("the key of a claim", () => {
  it("names its lane also when the task's id holds slashes", () =>
    onStage((stage) => {
      const id = `a/b/${newName("c")}/`;
      stage.task(id, configOf(id));
      stage.artifact(id);
      const claim = stage.claim();
      stage.settle(delivered(claim));
      expect(stage.lane(id)).toMatchObject({ pending: false, delivered: 1 });
    }));

  it("stands for nothing when its lane has nothing pending, or is gone", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      expect(stage.notifications.claims.members(claim.key)).toHaveLength(1);
      stage.settle(delivered(claim));
      expect(stage.notifications.claims.members(claim.key)).toEqual([]);
      await stage.commands.delete(task, "main", BY);
      expect(stage.notifications.claims.members(claim.key)).toEqual([]);
      expect(stage.notifications.claims.members("batch/gone")).toEqual([]);
    }));
});

describe("the head of a lane", () => {
  it("has the number after the newest settled one, or the one in its list", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      const lane = { ...stage.lane(task), head: 9, sequence: 4 };
      expect(headOf(lane)).toEqual([9, 5]);
      expect(
        headOf({
          ...lane,
          list: [
            [3, 1],
            [9, 2],
          ],
        }),
      ).toEqual([9, 2]);
      expect(notificationId(lane, 9)).toBe(`${lane.ids}-9`);
    }));
});
