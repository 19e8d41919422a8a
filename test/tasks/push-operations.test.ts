// What operators do with the notifications of a home: pause and resume, send again, look, rotate a secret.

import { describe, expect, it } from "vitest";
import {
  BY,
  DAY,
  delivered,
  failed,
  HOUR,
  onStage,
  SECOND,
  type Stage,
  settlementOf,
} from "../support/notifications.ts";

const query = (task: string) => ({ task, config: "main" });

/** A task whose events were delivered a second after one another; the first at the beginning. */
async function history(stage: Stage, count: number, own = {}): Promise<string> {
  const { task } = stage.taskWith(own);
  for (let i = 1; i <= count; i++) {
    stage.artifact(task, `event ${i}`);
    stage.settle(delivered(stage.claim()));
    await stage.pass(SECOND);
  }
  return task;
}

/** A task whose one event has died; the letter as operators name it. */
function dead(stage: Stage) {
  const { task } = stage.taskWith({ retryMs: [0, 1_000] });
  const seq = stage.artifact(task, "last words");
  stage.settle(failed(stage.claim(), { retryAfterMs: DAY }));
  return { task, config: "main", seq, sequence: 1 };
}

describe("a replay", () => {
  it("sends again what was received between two times, both included, in order and under the same ids", () =>
    onStage(async (stage) => {
      const from = stage.now + SECOND;
      const task = await history(stage, 5);
      expect(stage.operations.replay({ by: BY, ...query(task), from, to: from + 2 * SECOND })).toEqual({
        ok: true,
        value: { notifications: 3 },
      });
      const seen: [string, number, number][] = [];
      for (let claims = stage.claims(); claims.length > 0; ) {
        expect(claims).toHaveLength(1);
        seen.push(
          ...claims.map(({ id, sequence, attempt }) => [id, sequence, attempt] as (typeof seen)[number]),
        );
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      const { ids } = stage.lane(task);
      expect(seen).toEqual([
        [`${ids}-3`, 2, 1],
        [`${ids}-4`, 3, 1],
        [`${ids}-5`, 4, 1],
      ]);
      expect(stage.lanes(task)).toHaveLength(1);
      expect(stage.lane(task)).toMatchObject({ sequence: 5, pending: false });
    }));

  it("of nothing makes no lane", () =>
    onStage(async (stage) => {
      const task = await history(stage, 2);
      for (const [from, to] of [
        [stage.now + HOUR, stage.now + DAY],
        [10, 5],
      ] as const) {
        expect(stage.operations.replay({ by: BY, ...query(task), from, to })).toMatchObject({
          value: { notifications: 0 },
        });
      }
      expect(stage.lanes(task)).toHaveLength(1);
    }));

  it("does not send what is still pending a second time", () =>
    onStage(async (stage) => {
      const task = await history(stage, 1);
      stage.artifact(task, "pending");
      expect(stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now })).toMatchObject({
        value: { notifications: 1 },
      });
    }));

  it("sends what died, too, and numbers by what the filter wants", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0], events: ["artifactAdded"] });
      stage.status(task);
      stage.artifact(task, "dead");
      stage.settle(failed(stage.claim()));
      stage.status(task);
      stage.artifact(task, "alive");
      stage.settle(delivered(stage.claim()));
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      const claim = stage.claim();
      expect([claim.sequence, claim.body.includes("dead")]).toEqual([1, true]);
      expect(stage.claim({ settled: [delivered(claim)] })).toMatchObject({ sequence: 2 });
    }));

  it("numbers what was received under earlier filters as it was then, after a restart, too", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ events: ["artifactAdded"] });
      const sent: [string, number][] = [];
      const deliver = () => {
        for (let claims = stage.claims(); claims.length > 0; ) {
          sent.push(...claims.map(({ id, sequence }) => [id, sequence] as [string, number]));
          claims = stage.claims({ settled: claims.map(delivered) });
        }
      };
      stage.artifact(task, "first");
      deliver();
      stage.status(task);
      await stage.set(task, { events: null });
      stage.artifact(task, "second");
      await stage.set(task, { events: ["completed"] });
      stage.status(task);
      await stage.set(task, { events: ["statusChanged"] });
      stage.artifact(task, "third");
      stage.status(task);
      deliver();
      stage.status(task);
      await stage.set(task, { events: ["artifactAdded"] });
      stage.artifact(task, "fourth");
      await stage.set(task, { events: null });
      deliver();
      expect(sent.map(([, sequence]) => sequence)).toEqual([1, 2, 3]);
      await stage.start();
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      const before = sent.splice(0);
      deliver();
      expect(sent).toEqual(before);
    }));

  it("shows in the config's health: what waits, when it is tried, and what became of it", () =>
    onStage(async (stage) => {
      const task = await history(stage, 5);
      const health = () => {
        const answer = stage.operations.health(query(task));
        return answer.ok ? answer.value : undefined;
      };
      const oldest = stage.store.journal.writtenAt(task, 2);
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      expect(health()).toMatchObject({ pending: 5, oldestPendingAt: oldest, nextAttemptAt: stage.now });
      stage.settle(failed(stage.claim()));
      const again = stage.lanes(task).find(({ list }) => list);
      expect(health()).toMatchObject({ pending: 5, nextAttemptAt: again?.due, attempt: 1, lastStatus: 500 });
      stage.artifact(task, "new");
      expect(health()).toMatchObject({ pending: 6, nextAttemptAt: stage.now, attempt: 0 });
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      expect(health()).toMatchObject({ state: "paused", pending: 6, nextAttemptAt: null });
      stage.operations.setState({ by: BY, ...query(task), state: "active" });
      await stage.pass(SECOND);
      for (let claims = stage.claims(); claims.length > 0; ) {
        await stage.pass(SECOND);
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      expect(stage.lanes(task)).toHaveLength(1);
      const lastAttemptAt = Math.max(...stage.attempts().map(({ startedAt }) => startedAt));
      expect(health()).toMatchObject({
        pending: 0,
        nextAttemptAt: null,
        attempt: 0,
        lastStatus: 200,
        lastAttemptAt,
      });
    }));

  it("knows nothing of the filters of a config that was deleted", () =>
    onStage(async (stage) => {
      const task = await history(stage, 2);
      await stage.set(task, { events: ["completed"] });
      await stage.commands.delete(task, "main", BY);
      await stage.set(task);
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      expect(stage.claim()).toMatchObject({ sequence: 1, body: expect.stringContaining("artifact") });
      expect(stage.lanes(task).find(({ list }) => list)?.list).toHaveLength(1);
    }));

  it("runs beside new events: neither waits for the other", () =>
    onStage(async (stage) => {
      const task = await history(stage, 2);
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      stage.artifact(task, "new");
      const claims = stage.claims();
      expect(claims.map(({ sequence }) => sequence).sort()).toEqual([1, 3]);
      expect(new Set(claims.map(({ key }) => key)).size).toBe(2);
      const next = stage.claims({
        settled: claims.map((claim) => (claim.sequence === 1 ? failed(claim) : delivered(claim))),
      });
      expect(next).toEqual([]);
      stage.artifact(task, "newer");
      expect(stage.claim()).toMatchObject({ sequence: 4 });
    }));

  it("survives a restart in its middle", () =>
    onStage(async (stage) => {
      const task = await history(stage, 3);
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      stage.settle(delivered(stage.claim()));
      await stage.start();
      await stage.run(10 * SECOND);
      expect(stage.doorbells.length).toBeGreaterThan(0);
      const claim = stage.claim();
      expect(claim.sequence).toBe(2);
      expect(stage.claim({ settled: [delivered(claim)] })).toMatchObject({ sequence: 3 });
    }));

  it("of a paused config waits until that is resumed", () =>
    onStage(async (stage) => {
      const task = await history(stage, 1);
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      await stage.pass(DAY);
      expect(stage.claims()).toEqual([]);
      stage.operations.setState({ by: BY, ...query(task), state: "active" });
      expect(stage.claims()).toHaveLength(1);
    }));

  it("of more than 10,000 notifications is refused, and nothing is sent", { timeout: 60_000 }, () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.store.write(() => {
        for (let i = 0; i < 10_001; i++) stage.artifact(task);
      });
      const lane = stage.lane(task);
      stage.store.lanes.save({ ...lane, pending: false, head: 10_002, sequence: 10_001, due: null });
      expect(stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now })).toMatchObject({
        error: { reason: "INVALID_PARAMS", violations: [{ field: "to" }] },
      });
      expect(stage.lanes(task)).toHaveLength(1);
    }),
  );

  it("that dies files what died again, under the same id", () =>
    onStage(async (stage) => {
      const task = await history(stage, 1, { retryMs: [0] });
      stage.operations.replay({ by: BY, ...query(task), from: 0, to: stage.now });
      stage.settle(failed(stage.claim()));
      expect(stage.store.dead.ids(10)).toEqual([`${stage.lane(task).ids}-2`]);
      expect(stage.lanes(task)).toHaveLength(1);
    }));
});

describe("a retry of dead notifications", () => {
  it("gives each its whole schedule again, under the same id and number", () =>
    onStage(async (stage) => {
      const letter = dead(stage);
      await stage.pass(20 * DAY);
      expect(stage.operations.retryDead([letter], BY)).toEqual({
        ok: true,
        value: { accepted: 1, gone: [] },
      });
      await stage.calm();
      expect(stage.doorbells.length).toBeGreaterThan(0);
      const claim = stage.claim();
      expect(claim).toMatchObject({
        id: `${stage.lane(letter.task).ids}-${letter.seq}`,
        sequence: 1,
        attempt: 1,
      });
      stage.settle(failed(claim));
      await stage.pass(SECOND);
      expect(stage.claim()).toMatchObject({ attempt: 2 });
    }));

  it("sends those of one config in order, whatever order they are named in", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      const letters = ["one", "two", "three"].map((text, i) => ({
        task,
        config: "main",
        seq: stage.artifact(task, text),
        sequence: i + 1,
      }));
      for (const _ of letters) stage.settle(failed(stage.claim()));
      stage.operations.retryDead(letters.toReversed(), BY);
      const sequences: number[] = [];
      for (let claims = stage.claims(); claims.length > 0; ) {
        sequences.push(...claims.map(({ sequence }) => sequence));
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      expect(sequences).toEqual([1, 2, 3]);
    }));

  it("says which are gone: of a task or a config that is not there, or of a config that was made anew", () =>
    onStage(async (stage) => {
      const kept = dead(stage);
      const deleted = dead(stage);
      await stage.commands.delete(deleted.task, "main", BY);
      const anew = dead(stage);
      await stage.commands.delete(anew.task, "main", BY);
      await stage.set(anew.task);
      const never = { ...kept, seq: 99 };
      const foreign = { ...kept, task: "0-none" };
      const gone = [deleted, anew, never, foreign];
      const answer = stage.operations.retryDead([...gone, kept], BY);
      expect(answer).toMatchObject({ value: { accepted: 1 } });
      expect(answer.ok && answer.value.gone).toHaveLength(4);
      expect(answer.ok && answer.value.gone).toEqual(expect.arrayContaining(gone));
      expect(stage.claims()).toHaveLength(1);
    }));

  it("of one that is named twice sends it once", () =>
    onStage((stage) => {
      const letter = dead(stage);
      stage.operations.retryDead([letter, letter], BY);
      const claim = stage.claim();
      expect(stage.claims({ settled: [delivered(claim)] })).toEqual([]);
    }));

  it("of nothing is nothing", () =>
    onStage((stage) => {
      expect(stage.operations.retryDead([], BY)).toEqual({ ok: true, value: { accepted: 0, gone: [] } });
    }));
});

describe("a pause", () => {
  it("keeps the config from claims and doorbells, shows who did it, and is told to D1", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      expect(stage.operations.setState({ by: BY, ...query(task), state: "paused" })).toMatchObject({
        value: {
          state: "paused",
          reason: "Paused by an operator.",
          stateAt: stage.now,
          pending: 1,
          nextAttemptAt: null,
        },
      });
      await stage.calm();
      stage.doorbells.length = 0;
      await stage.run(DAY);
      expect([stage.doorbells, stage.claims()]).toEqual([[], []]);
      expect([...stage.archived.values()]).toContainEqual(
        expect.objectContaining({
          kind: "config",
          config: expect.objectContaining({ task, state: "paused" }),
        }),
      );
    }));

  it("survives a restart", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      await stage.start();
      await stage.run(DAY);
      expect(stage.claims()).toEqual([]);
      expect(stage.operations.health(query(task))).toMatchObject({ value: { state: "paused" } });
    }));

  it("takes what comes back of a send that was under way", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "one");
      stage.artifact(task, "two");
      const claim = stage.claim();
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      stage.settle(delivered(claim));
      expect(stage.lane(task)).toMatchObject({ delivered: 1, sequence: 1, pending: true, due: null });
      expect(stage.claims()).toEqual([]);
    }));

  it("twice is one", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      const before = stage.lane(task);
      await stage.pass(DAY);
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      expect(stage.lane(task)).toEqual(before);
    }));
});

describe("a resume", () => {
  it("gives what waits its whole time again, and rings at once", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim()));
      stage.operations.setState({ by: BY, ...query(task), state: "paused" });
      await stage.pass(20 * DAY);
      stage.doorbells.length = 0;
      expect(stage.operations.setState({ by: BY, ...query(task), state: "active" })).toMatchObject({
        value: { state: "active", reason: null, attempt: 0, nextAttemptAt: stage.now, failingSince: null },
      });
      await stage.calm();
      expect(stage.doorbells).toHaveLength(1);
      const claim = stage.claim();
      stage.settle(failed(claim));
      expect(stage.lane(task)).toMatchObject({ attempt: 1, dead: 0 });
    }));

  it("of an active config changes nothing", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim()));
      const before = stage.lane(task);
      stage.operations.setState({ by: BY, ...query(task), state: "active" });
      expect(stage.lane(task)).toEqual(before);
    }));

  it("of one whose receiver is gone lets it go on", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(settlementOf(stage.claim(), "gone", { status: 410 }));
      stage.operations.setState({ by: BY, ...query(task), state: "active" });
      expect(stage.claims()).toHaveLength(1);
    }));
});

describe("a secret", () => {
  it("is read and rotated; claims carry the new one from then on", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ sealed: "1.old" });
      expect(stage.operations.sealedSecrets(query(task))).toEqual({ ok: true, value: { sealed: "1.old" } });
      expect(
        stage.operations.rotateSecret({ by: BY, ...query(task), was: "1.old", sealed: "1.new" }),
      ).toMatchObject({
        ok: true,
      });
      stage.artifact(task);
      expect(stage.claim().sealed).toBe("1.new");
    }));

  it("is shown to be there, redacted, when it is the first", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      expect(config.answer).not.toHaveProperty("secret");
      stage.operations.rotateSecret({ by: BY, ...query(task), was: null, sealed: "1.new" });
      await stage.start();
      const view = stage.commands.get(task, "main");
      expect(view).toMatchObject({ value: { answer: { ...config.answer, secret: "[redacted]" } } });
    }));

  it("is not rotated over one that was set meanwhile", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ sealed: "1.theirs" });
      expect(
        stage.operations.rotateSecret({ by: BY, ...query(task), was: "1.old", sealed: "1.new" }),
      ).toMatchObject({
        error: { reason: "UNAVAILABLE" },
      });
      expect(
        stage.operations.rotateSecret({ by: BY, ...query(task), was: null, sealed: "1.new" }),
      ).toMatchObject({
        ok: false,
      });
      expect(stage.operations.sealedSecrets(query(task))).toMatchObject({ value: { sealed: "1.theirs" } });
    }));
});

describe("what is not there", () => {
  it("is not found by any operation", () =>
    onStage((stage) => {
      const operations = () => {
        const nobody = query("0-none");
        return [
          stage.operations.health(nobody),
          stage.operations.setState({ by: BY, ...nobody, state: "paused" }),
          stage.operations.replay({ by: BY, ...nobody, from: 0, to: 1 }),
          stage.operations.sealedSecrets(nobody),
          stage.operations.rotateSecret({ by: BY, ...nobody, was: null, sealed: "x" }),
        ];
      };
      for (const answer of operations()) expect(answer).toMatchObject({ error: { reason: "NOT_FOUND" } });
      expect(stage.store.exists).toBe(false);
      stage.task();
      for (const answer of operations()) expect(answer).toMatchObject({ error: { reason: "NOT_FOUND" } });
    }));
});
