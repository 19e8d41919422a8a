// What a home promises of its notifications, to an endpoint that is played by the test: at least once, in order per
// lane, one at a time, whatever answer or doorbell is lost.

import { describe, expect, it } from "vitest";
import { nextOf, type Settlement } from "../../src/delivery/exchange.ts";
import {
  BY,
  configOf,
  DAY,
  delivered,
  failed,
  forever,
  LEASE_MS,
  MINUTE,
  OWNER,
  onStage,
  released,
  SECOND,
  START,
  settlementOf,
  UNHEARD_MS,
} from "../support/notifications.ts";

describe("a config that comes with the message", () => {
  it("hears of every event from the first, in order and numbered from 1", () =>
    onStage((stage) => {
      const { task, config } = stage.taskWith();
      stage.status(task);
      stage.artifact(task, "hello");
      stage.status(task, "TASK_STATE_COMPLETED");
      const seen: [number, string, string][] = [];
      for (;;) {
        const [claim] = stage.claims();
        if (!claim) break;
        seen.push([claim.sequence, claim.id, Object.keys(JSON.parse(claim.body))[0] ?? ""]);
        stage.settle(delivered(claim));
      }
      expect(seen).toEqual([
        [1, `${config.lane}-2`, "statusUpdate"],
        [2, `${config.lane}-3`, "artifactUpdate"],
        [3, `${config.lane}-4`, "statusUpdate"],
      ]);
    }));
});

describe("a config that is set later", () => {
  it("hears of what follows it, and of nothing before", () =>
    onStage(async (stage) => {
      const task = stage.task();
      stage.artifact(task, "before");
      await stage.set(task);
      expect(stage.claims()).toEqual([]);
      stage.artifact(task, "after");
      const claim = stage.claim();
      expect(claim).toMatchObject({ sequence: 1, committedAt: START, plannedAt: START });
      expect(claim.body).toContain("after");
    }));

  it("on a task that has ended is accepted and never rung for", () =>
    onStage(async (stage) => {
      const task = stage.task();
      stage.status(task, "TASK_STATE_COMPLETED");
      await stage.set(task);
      await stage.run(MINUTE);
      expect(stage.doorbells).toEqual([]);
    }));
});

describe("a claim", () => {
  it("says all that is to be sent, and where", () =>
    onStage((stage) => {
      const { task, config } = stage.taskWith({
        url: "https://receiver.test/hook?key=1",
        sealed: "1.iv.text",
        options: { scheme: "Bearer", securityLevel: "high" },
      });
      const seq = stage.artifact(task, "hello");
      expect(stage.claim()).toEqual({
        key: `lane/${task}/${config.lane}`,
        lanes: [config.lane],
        id: `${config.lane}-${seq}`,
        task,
        config: "main",
        target: "https://receiver.test/hook",
        url: "https://receiver.test/hook?key=1",
        sequence: 1,
        attempt: 1,
        body: stage.store.journal.entry(task, seq)?.body,
        contentType: "application/a2a+json",
        version: "1.0",
        sealed: "1.iv.text",
        options: { scheme: "Bearer", securityLevel: "high" },
        committedAt: START,
        plannedAt: START,
        following: [],
      });
    }));

  it("brings along what follows in its lane, four at most, and both are settled in one exchange", () =>
    onStage((stage) => {
      const { task, config } = stage.taskWith();
      const rows = Array.from({ length: 7 }, (_, i) => stage.artifact(task, `${i}`));
      const claim = stage.claim();
      expect(claim.following).toEqual(
        rows.slice(1, 5).map((seq, i) => ({
          id: `${config.lane}-${seq}`,
          sequence: i + 2,
          body: stage.store.journal.entry(task, seq)?.body,
          committedAt: START,
        })),
      );
      const next = nextOf(claim);
      if (!next) throw new Error("nothing follows");
      const { claims } = stage.exchange({ settled: [delivered(claim), delivered(next)] });
      expect(claims).toMatchObject([{ id: `${config.lane}-${rows[2]}`, sequence: 3, attempt: 1 }]);
      expect(stage.attempts().map(({ sequence, attempt }) => [sequence, attempt])).toEqual([
        [1, 1],
        [2, 1],
      ]);
    }));

  it("brings nothing along that the config does not want, nor behind a head that has failed, nor too much", () =>
    onStage(async (stage) => {
      const filtered = stage.taskWith({ events: ["completed"] });
      stage.artifact(filtered.task);
      stage.status(filtered.task, "TASK_STATE_COMPLETED");
      const only = stage.claim();
      expect(only.following).toEqual([]);
      stage.settle(delivered(only));
      const failing = stage.taskWith();
      for (const text of ["one", "two"]) stage.artifact(failing.task, text);
      const first = stage.claim();
      expect(first.following).toHaveLength(1);
      stage.settle(failed(first));
      await stage.pass(MINUTE);
      const again = stage.claim();
      expect(again).toMatchObject({ id: first.id, attempt: 2, following: [] });
      const long = stage.taskWith();
      for (const size of [50_000, 50_000, 50_000]) stage.artifact(long.task, "x".repeat(size));
      const { claims } = stage.exchange({ settled: [released(again)], busy: [again.key] });
      expect(claims.map(({ following }) => following.map(({ sequence }) => sequence))).toEqual([[2]]);
    }));

  it("of an older dialect counts whole tasks, which is what it sends", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ version: "0.3", events: ["statusChanged"] });
      const following = () => {
        const claim = stage.claim();
        stage.settle(delivered(claim));
        return claim.following.map(({ sequence }) => sequence);
      };
      stage.artifact(task, "x".repeat(50_000));
      for (let i = 1; i <= 5; i++) stage.status(task);
      expect(following()).toEqual([2]);
      stage.artifact(task, "x".repeat(100_000));
      stage.status(task);
      // Of the head alone there is room for one more; the last is too large by then.
      for (let i = 2; i <= 4; i++) following();
      expect(following()).toEqual([]);
      stage.status(task);
      expect(following()).toEqual([]);
    }));

  it("that is settled while what follows is under way, is not given again", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      for (const text of ["one", "two", "three"]) stage.artifact(task, text);
      const claim = stage.claim();
      const next = nextOf(claim);
      if (!next) throw new Error("nothing follows");
      const meanwhile = { settled: [delivered(claim)], busy: [claim.key] };
      expect(stage.exchange(meanwhile).claims).toEqual([]);
      expect(stage.claims()).toEqual([]);
      const { claims } = stage.exchange({ settled: [delivered(next)] });
      expect(claims).toMatchObject([{ sequence: 3, attempt: 1 }]);
    }));

  it("has an id without a dot", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      expect(stage.claim().id).not.toContain(".");
    }));

  it("is made of one event per lane: the next follows when it is settled", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      const first = stage.artifact(task, "one");
      const second = stage.artifact(task, "two");
      const claim = stage.claim();
      expect(claim.id.endsWith(`-${first}`)).toBe(true);
      expect(stage.claims()).toEqual([]);
      const { claims } = stage.exchange({ settled: [delivered(claim)] });
      expect(claims).toMatchObject([{ sequence: 2, attempt: 1, id: claim.id.replace(/\d+$/, `${second}`) }]);
    }));

  it("has the same id and the same bytes on every attempt", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "\u{1F600} \u2028 \"'");
      const claim = stage.claim();
      stage.settle(failed(claim));
      await stage.pass(5 * SECOND);
      expect(stage.claim()).toEqual({ ...claim, attempt: 2, plannedAt: START + 5 * SECOND });
    }));

  it("is of each URL in turn, when many wait at more of them than are asked for", () =>
    onStage((stage) => {
      for (const name of ["a", "b", "c"]) {
        for (let i = 0; i < 2; i++)
          stage.artifact(stage.taskWith({ url: `https://receiver.test/${name}` }).task);
      }
      const round = (settled: Settlement[]) => stage.claims({ settled, want: 2 });
      const first = round([]);
      const second = round(first.map(delivered));
      const third = round(second.map(delivered));
      expect([first, second, third].map((claims) => claims.map(({ url }) => url.at(-1)))).toEqual([
        ["a", "b"],
        ["c", "a"],
        ["b", "c"],
      ]);
    }));

  it("goes only to the endpoint that it is for", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      expect(stage.claims({ endpoint: `${OWNER}|https://other.test` })).toEqual([]);
      expect(stage.claims({ endpoint: "somebody|https://receiver.test" })).toEqual([]);
      expect(stage.claims()).toHaveLength(1);
    }));

  it("is never handed out before it is due", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim()));
      await stage.pass(5 * SECOND - 1);
      expect(stage.claims()).toEqual([]);
      await stage.pass(1);
      expect(stage.claims()).toHaveLength(1);
    }));

  it("of a home that has no database is none", () =>
    onStage((stage) => {
      expect(stage.exchange({ busy: ["lane/0-x/y"] })).toEqual({
        claims: [],
        more: false,
        gone: ["lane/0-x/y"],
      });
      expect(stage.store.exists).toBe(false);
    }));
});

describe("a claim whose answer is lost", () => {
  it("is claimed again, as the same attempt, when its lease has run out", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const lost = stage.claim();
      await stage.pass(LEASE_MS - 1);
      expect(stage.claims()).toEqual([]);
      await stage.pass(1);
      expect(stage.claim()).toEqual(lost);
    }));

  it("is rung for again when its lease has run out", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.calm();
      stage.claim();
      expect(stage.doorbells).toHaveLength(1);
      await stage.run(LEASE_MS - 1);
      expect(stage.doorbells).toHaveLength(1);
      await stage.run(1);
      expect(stage.doorbells).toHaveLength(2);
    }));

  it("is not claimed again as long as its endpoint names it as busy", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const { key } = stage.claim();
      for (let i = 0; i < 10; i++) {
        await stage.pass(LEASE_MS - SECOND);
        expect(stage.claims({ busy: [key] })).toEqual([]);
      }
      await stage.pass(LEASE_MS);
      expect(stage.claims()).toHaveLength(1);
    }));

  it("is named as gone to an endpoint that has it still when its config is paused, replaced or deleted", () =>
    onStage(async (stage) => {
      const pending = () => {
        const { task, config } = stage.taskWith();
        stage.artifact(task);
        return { task, key: `lane/${task}/${config.lane}` };
      };
      const [paused, replaced, deleted, stands] = [pending(), pending(), pending(), pending()];
      const busy = [paused, replaced, deleted, stands].map(({ key }) => key);
      expect(stage.claims().map(({ key }) => key)).toEqual(busy);
      expect(stage.exchange({ busy }).gone).toBeUndefined();
      stage.world.forget = () => forever;
      stage.operations.setState({ by: BY, task: paused.task, config: "main", state: "paused" });
      void stage.set(replaced.task, { url: "https://receiver.test/new" });
      void stage.commands.delete(deleted.task, "main", BY);
      await stage.calm();
      const gone = [paused.key, replaced.key, deleted.key];
      expect(stage.exchange({ busy })).toEqual({ claims: [], more: false, gone });
      await stage.pass(UNHEARD_MS);
      expect(stage.exchange({ busy }).gone).toEqual(gone);
    }));

  it("of a batch is gone with any of its members", () =>
    onStage(async (stage) => {
      const batch = { key: "k", maxEvents: 10, maxWaitMs: SECOND };
      const tasks = Array.from({ length: 2 }, () => stage.taskWith({ batch }).task);
      for (const task of tasks) stage.artifact(task);
      await stage.pass(SECOND);
      const busy = [stage.claim().key];
      expect(stage.exchange({ busy }).gone).toBeUndefined();
      stage.world.forget = () => forever;
      void stage.commands.delete(tasks[1] ?? "", "main", BY);
      expect(stage.exchange({ busy }).gone).toEqual(busy);
    }));

  it("is not claimed by an endpoint that has it while the home has forgotten that", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const { key } = stage.claim();
      await stage.start();
      expect(stage.claims({ busy: [key] })).toEqual([]);
      // Once it knows again, for as long as a lease lasts.
      expect(stage.claims()).toEqual([]);
      await stage.pass(LEASE_MS);
      expect(stage.claims()).toHaveLength(1);
    }));
});

describe("a claim that is released", () => {
  it("is claimed again at once, as the same attempt, and leaves no trace", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      const before = stage.lane(task);
      stage.settle(released(claim));
      expect(stage.lane(task)).toEqual(before);
      expect(stage.attempts()).toEqual([]);
      expect(stage.claim()).toEqual(claim);
    }));
});

describe("a settlement", () => {
  it("that comes twice counts once", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "one");
      stage.artifact(task, "two");
      const settled = [failed(stage.claim())];
      stage.exchange({ settled });
      stage.exchange({ settled });
      stage.exchange({ settled: [...settled, ...settled] });
      expect(stage.lane(task)).toMatchObject({ attempt: 1, failures: 1 });
      expect(stage.attempts()).toHaveLength(1);
    }));

  it("of a delivery that comes twice does not pass over the next event", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "one");
      const second = stage.artifact(task, "two");
      const settled = [delivered(stage.claim())];
      stage.exchange({ settled, want: 0 });
      stage.exchange({ settled: [...settled, ...settled], want: 0 });
      expect(stage.lane(task)).toMatchObject({ head: second, sequence: 1, delivered: 1, attempt: 0 });
      expect(stage.attempts()).toHaveLength(1);
    }));

  it("of an earlier attempt that failed is ignored", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const first = stage.claim();
      stage.settle(failed(first));
      await stage.pass(5 * SECOND);
      stage.claim();
      stage.settle(failed(first));
      expect(stage.lane(task).attempt).toBe(1);
    }));

  it("of an earlier attempt that did arrive after all is believed", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const first = stage.claim();
      stage.settle(failed(first));
      await stage.pass(5 * SECOND);
      stage.claim();
      stage.settle(delivered(first));
      expect(stage.lane(task)).toMatchObject({ pending: false, delivered: 1 });
    }));

  it("that comes late, after the lease, is still taken", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      await stage.pass(LEASE_MS + SECOND);
      stage.settle(delivered(claim));
      expect(stage.lane(task).pending).toBe(false);
      expect(stage.claims()).toEqual([]);
    }));

  it("for the event before is ignored", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "one");
      const first = stage.claim();
      stage.settle(delivered(first));
      stage.artifact(task, "two");
      stage.settle(failed(first), delivered(first));
      expect(stage.lane(task)).toMatchObject({ pending: true, attempt: 0, delivered: 1 });
    }));

  it("of a config that was replaced or deleted changes nothing", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      await stage.set(task);
      const replaced = stage.lanes(task);
      stage.settle(failed(claim), delivered(claim));
      expect(stage.lanes(task)).toEqual(replaced);
      expect(stage.attempts()).toEqual([]);
      await stage.commands.delete(task, "main", BY);
      stage.settle(failed(claim), delivered(claim));
      expect(stage.lanes(task)).toEqual([]);
    }));

  it("with a key or an id that was never given changes nothing", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      const before = stage.lanes(task);
      for (const key of ["", "lane", "lane/", "batch/", "batch/x", "lane/x/y", `lane/${task}/`, "?/?/?/?"]) {
        stage.settle(delivered({ ...claim, key }));
      }
      stage.settle(delivered({ ...claim, id: "lane9-9" }), failed({ ...claim, attempt: 2 }));
      expect(stage.lanes(task)).toEqual(before);
      expect(stage.attempts()).toEqual([]);
    }));

  it("is written together with the others of its exchange, or none is", () =>
    onStage((stage) => {
      const tasks = [stage.taskWith(), stage.taskWith()];
      for (const { task } of tasks) stage.artifact(task);
      const claims = stage.claims();
      const before = tasks.map(({ task }) => stage.lane(task));
      const add = stage.store.outbox.add.bind(stage.store.outbox);
      let calls = 0;
      stage.store.outbox.add = (items) => {
        calls += 1;
        if (calls === 2) throw new Error("disk full");
        add(items);
      };
      expect(() => stage.settle(...claims.map(delivered))).toThrow("disk full");
      stage.store.outbox.add = add;
      expect(tasks.map(({ task }) => stage.lane(task))).toEqual(before);
      expect(stage.attempts()).toEqual([]);
      stage.settle(...claims.map(delivered));
      expect(tasks.map(({ task }) => stage.lane(task).delivered)).toEqual([1, 1]);
    }));
});

describe("a filter of events", () => {
  it("leaves no holes in the sequence numbers", () =>
    onStage((stage) => {
      const { task } = stage.taskWith({ events: ["artifactAdded", "completed"] });
      stage.status(task);
      stage.artifact(task, "one");
      stage.status(task);
      stage.status(task);
      stage.artifact(task, "two");
      stage.status(task, "TASK_STATE_COMPLETED");
      const seen: [number, string][] = [];
      for (;;) {
        const [claim] = stage.claims();
        if (!claim) break;
        seen.push([claim.sequence, claim.body]);
        stage.settle(delivered(claim));
      }
      expect(seen.map(([sequence]) => sequence)).toEqual([1, 2, 3]);
      expect(seen[1]?.[1]).toContain("two");
      expect(seen[2]?.[1]).toContain("TASK_STATE_COMPLETED");
    }));

  it("that wants nothing of what happens makes no doorbell and no due lane", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ events: ["failed"] });
      stage.status(task);
      stage.artifact(task);
      stage.status(task, "TASK_STATE_COMPLETED");
      await stage.calm();
      expect(stage.doorbells).toEqual([]);
      expect(stage.lane(task)).toMatchObject({ pending: false, due: null });
    }));
});

describe("several configs of a task", () => {
  it("go their own ways: one that fails holds up no other", () =>
    onStage(async (stage) => {
      const task = stage.task();
      await stage.set(task, { id: "bad" });
      await stage.set(task, { id: "good" });
      for (const text of ["one", "two", "three"]) stage.artifact(task, text);
      const good: number[] = [];
      let claims = stage.claims();
      while (claims.length > 0) {
        good.push(...claims.filter(({ config }) => config === "good").map(({ sequence }) => sequence));
        const settled = claims.map((claim) => (claim.config === "good" ? delivered(claim) : failed(claim)));
        claims = stage.claims({ settled });
      }
      expect(good).toEqual([1, 2, 3]);
      expect(stage.store.lanes.forTask(task).map(({ config, sequence }) => [config, sequence])).toEqual(
        expect.arrayContaining([
          ["bad", 0],
          ["good", 3],
        ]),
      );
    }));
});

describe("a home that starts anew in the middle of everything", () => {
  it("goes on where each lane stood, attempts and times included", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim()));
      await stage.pass(5 * SECOND);
      stage.settle(failed(stage.claim()));
      const before = stage.lanes(task);
      await stage.start();
      expect(stage.lanes(task)).toEqual(before);
      await stage.pass(30 * SECOND);
      expect(stage.claim()).toMatchObject({ attempt: 3, plannedAt: START + 35 * SECOND });
    }));

  it("wakes idle lanes for the next event", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      await stage.start();
      stage.artifact(task);
      await stage.calm();
      expect(stage.doorbells).toHaveLength(1);
    }));

  it("takes settlements of claims that it gave before", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      await stage.start();
      stage.settle(delivered(claim));
      expect(stage.lane(task)).toMatchObject({ pending: false, delivered: 1 });
    }));
});

describe("an event that is written while its lane is paused", () => {
  it("waits, and goes out when the lane goes on", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.operations.setState({ by: BY, task, config: "main", state: "paused" });
      stage.artifact(task);
      await stage.run(MINUTE);
      expect(stage.doorbells).toEqual([]);
      expect(stage.claims()).toEqual([]);
      stage.operations.setState({ by: BY, task, config: "main", state: "active" });
      await stage.calm();
      expect(stage.doorbells).toHaveLength(1);
      expect(stage.claims()).toHaveLength(1);
    }));

  it("stays where it is when the attempt that was under way comes back as failed", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const claim = stage.claim();
      stage.operations.setState({ by: BY, task, config: "main", state: "paused" });
      stage.settle(failed(claim));
      expect(stage.lane(task)).toMatchObject({ state: "paused", due: null, attempt: 1 });
      await stage.pass(DAY);
      expect(stage.claims()).toEqual([]);
    }));
});

describe("a transaction that fails", () => {
  it("leaves lanes as they were, and the next event wakes them", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      const before = stage.lane(task);
      const { onCommit } = stage.store;
      stage.store.onCommit = (...committed) => {
        onCommit(...committed);
        throw new Error("disk full");
      };
      expect(() => stage.artifact(task)).toThrow("disk full");
      stage.store.onCommit = onCommit;
      expect(stage.lane(task)).toEqual(before);
      const seq = stage.artifact(task);
      expect(stage.lane(task)).toMatchObject({ pending: true, head: seq });
    }));
});

describe("a lane in the middle of an attempt", () => {
  it("is told of later events without losing its place", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task, "one");
      const claim = stage.claim();
      stage.artifact(task, "two");
      stage.status(task, "TASK_STATE_COMPLETED");
      expect(stage.claims({ settled: [settlementOf(claim, "retry")] })).toEqual([]);
      expect(stage.lane(task)).toMatchObject({ attempt: 1, sequence: 0 });
      expect(stage.commands.get(task, "main")).toMatchObject({
        value: { health: { pending: 3, attempt: 1 } },
      });
    }));
});

describe("a config that is set again while a send is under way", () => {
  it("sends what was pending again under the same id, once the old send is dropped", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      stage.artifact(task, "one");
      const old = stage.claim();
      const gate = Promise.withResolvers<void>();
      stage.world.forget = () => gate.promise;
      const again = configOf(task, { url: "https://receiver.test/new" });
      const set = stage.commands.set(stage.record(task), again, BY);
      expect(stage.claims()).toEqual([]);
      await stage.pass(UNHEARD_MS - 1);
      expect(stage.claims()).toEqual([]);
      gate.resolve();
      await set;
      await stage.calm();
      const claim = stage.claim();
      expect(claim).toMatchObject({
        id: old.id,
        sequence: 1,
        attempt: 1,
        url: again.url,
        lanes: [again.lane],
      });
      expect(claim.id.startsWith(config.lane)).toBe(true);
    }));
});
