// What becomes of a lane when an attempt has ended: the schedule as a home follows it, dead letters, and configs that
// are disabled.

import { describe, expect, it } from "vitest";
import type { Claim, Settlement } from "../../src/delivery/exchange.ts";
import {
  BY,
  DAY,
  delivered,
  failed,
  HOUR,
  MINUTE,
  onStage,
  RETRY_MS,
  SECOND,
  START,
  type Stage,
  settlementOf,
} from "../support/notifications.ts";

/** Fails every attempt of the one claim there is, until none follows; when each was planned, from the first. */
async function exhaust(
  stage: Stage,
  outcome: Settlement["outcome"],
  more: Parameters<typeof settlementOf>[2],
): Promise<number[]> {
  const planned: number[] = [];
  for (;;) {
    const [claim] = stage.claims();
    if (!claim) return planned;
    planned.push(claim.plannedAt);
    stage.settle(settlementOf(claim, outcome, more));
    const due = stage.lanes(claim.task)[0]?.due ?? null;
    if (due === null) return planned;
    await stage.pass(due - stage.now);
  }
}

const pauses = (planned: number[]) => planned.slice(1).map((at, i) => at - (planned[i] ?? 0));

describe("a notification that always fails", () => {
  it("is tried 12 times over three days, as planned, and is then a dead letter that explains itself", () =>
    onStage(async (stage) => {
      const { task, config } = stage.taskWith();
      const seq = stage.artifact(task);
      const planned = await exhaust(stage, "retry", { status: 503 });
      expect(pauses(planned)).toEqual(RETRY_MS.slice(1));
      const id = `${config.lane}-${seq}`;
      expect(stage.store.dead.load("home", [id], stage.store.journal)).toEqual([
        {
          id,
          home: "home",
          owner: "anonymous",
          agent: "echo",
          task,
          config: "main",
          lane: config.lane,
          origin: "https://receiver.test",
          target: "https://receiver.test/hook",
          seq,
          sequence: 1,
          reason: "12 attempts failed; the last answered 503",
          error: null,
          status: 503,
          attempts: 12,
          committedAt: START,
          diedAt: stage.now,
          body: stage.store.journal.entry(task, seq)?.body,
        },
      ]);
      expect(stage.attempts().map(({ attempt }) => attempt)).toEqual(RETRY_MS.map((_, i) => i + 1));
      expect(stage.attempts().map(({ plannedAt }) => plannedAt)).toEqual(planned);
      expect(stage.lane(task)).toMatchObject({
        pending: false,
        due: null,
        dead: 1,
        delivered: 0,
        attempt: 0,
      });
    }));

  it("is tried with up to 20 % of jitter", () =>
    onStage(async (stage) => {
      stage.random = () => 0;
      stage.artifact(stage.taskWith().task);
      const early = pauses(await exhaust(stage, "retry", { status: 500 }));
      expect(early).toEqual(RETRY_MS.slice(1).map((ms) => Math.round(ms * 0.8)));
      stage.random = () => 1 - Number.EPSILON;
      stage.artifact(stage.taskWith().task);
      const late = pauses(await exhaust(stage, "retry", { status: 500 }));
      expect(late).toEqual(RETRY_MS.slice(1).map((ms) => Math.round(ms * 1.2)));
    }));

  it("lets the next one go when it dies", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0, 1_000] });
      stage.artifact(task, "one");
      stage.artifact(task, "two");
      stage.settle(failed(stage.claim()));
      await stage.pass(SECOND);
      const { claims } = stage.exchange({ settled: [failed(stage.claim())] });
      expect(claims).toMatchObject([{ sequence: 2, attempt: 1 }]);
      expect(claims[0]?.body).toContain("two");
    }));

  it("follows the schedule of its config where there is one", () =>
    onStage(async (stage) => {
      stage.artifact(stage.taskWith({ retryMs: [0, 1_000, 2_000, 60_000] }).task);
      const planned = await exhaust(stage, "retry", { error: "network_error" });
      expect(pauses(planned)).toEqual([1_000, 2_000, 60_000]);
    }));

  it("is tried later where the receiver asks for it", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(failed(stage.claim(), { status: 429, retryAfterMs: 10 * MINUTE }));
      expect(stage.lane(task).due).toBe(START + 10 * MINUTE);
    }));

  it("is tried four times when the receiver rejects it", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const planned = await exhaust(stage, "rejected", { status: 404 });
      expect(pauses(planned)).toEqual(RETRY_MS.slice(1, 4));
      expect(stage.lane(task)).toMatchObject({ state: "active", dead: 1 });
    }));

  it.each([
    ["unauthorized", { status: 401 }],
    ["blocked", { error: "blocked_destination" }],
  ] as const)("is tried slowly when it is %s", (outcome, more) =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      const planned = await exhaust(stage, outcome, more);
      expect(pauses(planned)).toEqual([10 * MINUTE, HOUR, 6 * HOUR, DAY]);
      expect(stage.lane(task)).toMatchObject({ state: "active", dead: 1 });
    }),
  );

  it("gets one attempt when it is too old by then, and so do those behind it", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0, 1_000, 2_000] });
      for (const text of ["one", "two"]) stage.artifact(task, text);
      await stage.pass(HOUR);
      stage.artifact(task, "young");
      await exhaust(stage, "retry", { status: 500 });
      const attempts = stage.attempts().map(({ sequence, attempt }) => [sequence, attempt]);
      expect(attempts).toEqual([
        [1, 1],
        [2, 1],
        [3, 1],
        [3, 2],
        [3, 3],
      ]);
      const [one, , young] = stage.store.dead.load("home", stage.store.dead.ids(3), stage.store.journal);
      expect(one?.reason).toBe("too old after 1 attempt; it answered 500");
      expect(young?.reason).toBe("3 attempts failed; the last answered 500");
    }));
});

describe("the health of a config", () => {
  it("says how it stands while attempts fail, and forgets it with a success", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      const health = () => {
        const view = stage.commands.get(task, "main");
        return view.ok ? view.value.health : undefined;
      };
      stage.artifact(task, "one");
      stage.artifact(task, "two");
      await stage.pass(SECOND);
      stage.settle(settlementOf(stage.claim(), "retry", { error: "timeout" }));
      expect(health()).toEqual({
        state: "active",
        reason: null,
        stateAt: START,
        pending: 2,
        oldestPendingAt: START,
        nextAttemptAt: START + 6 * SECOND,
        attempt: 1,
        delivered: 0,
        dead: 0,
        failingSince: START + SECOND,
        lastAttemptAt: START + SECOND,
        lastStatus: null,
        lastError: "timeout",
      });
      await stage.pass(5 * SECOND);
      stage.settle(delivered(stage.claim()));
      expect(health()).toMatchObject({
        pending: 1,
        attempt: 0,
        delivered: 1,
        failingSince: null,
        lastAttemptAt: START + 6 * SECOND,
        lastStatus: 200,
        lastError: null,
      });
    }));
});

describe("a config whose receiver answers 410", () => {
  it("is disabled with a reason, holds what it has, and is counted", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(settlementOf(stage.claim(), "gone", { status: 410 }));
      expect(stage.lane(task)).toMatchObject({
        state: "disabled",
        reason: "The receiver answered 410 Gone.",
        stateAt: START,
        pending: true,
        due: null,
      });
      stage.artifact(task);
      await stage.run(10 * SECOND);
      expect(stage.claims()).toEqual([]);
      expect(stage.counters['a2a_webhook_configs_disabled_total{reason="gone"}']).toBe(1);
      const configs = [...stage.archived.values()].filter(({ kind }) => kind === "config");
      expect(configs).toMatchObject([
        { config: { task, state: "active" } },
        { config: { task, state: "disabled", reason: "The receiver answered 410 Gone." } },
      ]);
    }));

  it("is disabled with all that is sent again for it", () =>
    onStage((stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      stage.settle(delivered(stage.claim()));
      stage.operations.replay({ by: BY, task, config: "main", from: 0, to: stage.now });
      stage.artifact(task);
      const claims = stage.claims();
      expect(claims).toHaveLength(2);
      stage.settle(settlementOf(claims[0] as Claim, "gone", { status: 410 }));
      expect(stage.lanes(task).map(({ state, due }) => [state, due])).toEqual([
        ["disabled", null],
        ["disabled", null],
      ]);
      // The other was under way: what becomes of it does not start anything again.
      stage.settle(failed(claims[1] as Claim));
      expect(stage.lanes(task).every(({ due }) => due === null)).toBe(true);
    }));

  it("does not disable another config of the task", () =>
    onStage(async (stage) => {
      const task = stage.task();
      await stage.set(task, { id: "a" });
      await stage.set(task, { id: "b" });
      stage.artifact(task);
      const claim = stage.claims().find(({ config }) => config === "a") as Claim;
      stage.settle(settlementOf(claim, "gone", { status: 410 }));
      expect(stage.lanes(task).map(({ config, state }) => [config, state])).toEqual([
        ["a", "disabled"],
        ["b", "active"],
      ]);
    }));
});

describe("an endpoint that was paused and is resumed", () => {
  it("leaves what waits its whole time: that of the pause does not count", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await stage.pass(4 * DAY);
      const resumedAt = stage.now;
      stage.exchange({ settled: [failed(stage.claim())], want: 0, resumedAt });
      expect(stage.lane(task)).toMatchObject({ dead: 0, pending: true, attempt: 1 });
      await stage.pass(4 * DAY);
      stage.exchange({ settled: [failed(stage.claim())], want: 0, resumedAt });
      expect(stage.lane(task)).toMatchObject({ dead: 1, pending: false });
    }));
});

describe("a config that meets nothing but failures", () => {
  /** Fails what is due until `until`; returns the task. */
  const failUntil = async (stage: Stage, task: string, until: number) => {
    while (stage.now < until && stage.lane(task).state === "active") {
      const due = stage.lane(task).due;
      if (due === null) stage.artifact(task);
      else if (due > stage.now) await stage.pass(Math.min(due, until) - stage.now);
      for (const claim of stage.claims()) stage.settle(failed(claim));
    }
  };

  const failOne = (stage: Stage, task: string) => {
    stage.artifact(task);
    stage.settle(failed(stage.claim()));
  };

  it("is not disabled for the time in which its endpoint was paused", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      await failUntil(stage, task, stage.now + DAY);
      await stage.pass(5 * DAY);
      const resumedAt = stage.now;
      if (stage.lane(task).due === null) stage.artifact(task);
      stage.exchange({ settled: [failed(stage.claim())], want: 0, resumedAt });
      expect(stage.lane(task)).toMatchObject({ state: "active", failingSince: resumedAt });
    }));

  it("is disabled after 5 days, over the deaths of notifications", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      stage.artifact(task);
      for (let i = 0; i < 10; i++) stage.artifact(task);
      await failUntil(stage, task, START + 5 * DAY - 1);
      expect(stage.lane(task).state).toBe("active");
      // Nothing more is due: the failures are as old as they are when the next attempt is made.
      await failUntil(stage, task, START + 7 * DAY);
      expect(stage.lane(task)).toMatchObject({
        state: "disabled",
        reason: "Nothing but failures for 5 days.",
        pending: true,
        due: null,
      });
      expect(stage.lane(task).stateAt).toBeGreaterThanOrEqual(START + 5 * DAY);
      await stage.run(10 * SECOND);
      expect(stage.counters['a2a_webhook_configs_disabled_total{reason="failing"}']).toBe(1);
    }));

  it("is not disabled before its tenth attempt, however long that takes", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      for (let i = 1; i <= 10; i++) {
        stage.artifact(task);
        stage.settle(failed(stage.claim()));
        expect(stage.lane(task).state).toBe(i < 10 ? "active" : "disabled");
        await stage.pass(DAY);
      }
    }));

  it.each([
    ["less than 12 hours, is not disabled", 12 * HOUR - SECOND, { state: "active", failures: 1 }],
    ["12 hours, is disabled", 12 * HOUR, { state: "disabled", failures: 10 }],
  ])("days after nine others, which went on for %s", (_, span, expected) =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      for (let i = 1; i <= 8; i++) failOne(stage, task);
      await stage.pass(span);
      failOne(stage, task);
      expect(stage.lane(task)).toMatchObject({ failures: 9, state: "active" });
      await stage.pass(6 * DAY);
      failOne(stage, task);
      expect(stage.lane(task)).toMatchObject(expected);
    }),
  );

  it("has its 5 days anew when a short outage was days ago", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      for (let i = 1; i <= 9; i++) failOne(stage, task);
      await stage.pass(6 * DAY);
      const again = stage.now;
      for (let i = 1; i <= 10; i++) {
        failOne(stage, task);
        expect(stage.lane(task)).toMatchObject({ state: "active", failures: i, failingSince: again });
        await stage.pass(2 * HOUR);
      }
      await stage.pass(again + 5 * DAY - stage.now);
      failOne(stage, task);
      expect(stage.lane(task).state).toBe("disabled");
    }));

  it("begins anew with each success", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith({ retryMs: [0] });
      for (let i = 1; i <= 40; i++) {
        stage.artifact(task);
        const claim = stage.claim();
        stage.settle(i % 9 === 0 ? delivered(claim) : failed(claim));
        await stage.pass(DAY);
      }
      expect(stage.lane(task)).toMatchObject({ state: "active", delivered: 4, dead: 36 });
    }));

  it("that is resumed has its whole time again, and sends its backlog in order", () =>
    onStage(async (stage) => {
      const { task } = stage.taskWith();
      for (const text of ["one", "two", "three"]) stage.artifact(task, text);
      stage.settle(settlementOf(stage.claim(), "gone", { status: 410 }));
      await stage.pass(20 * DAY);
      stage.artifact(task, "four");
      const resumed = stage.operations.setState({ by: BY, task, config: "main", state: "active" });
      expect(resumed).toMatchObject({
        value: { state: "active", reason: null, pending: 4, attempt: 0, failingSince: null },
      });
      await stage.calm();
      expect(stage.doorbells.length).toBeGreaterThan(1);
      // Twenty days old, and nevertheless tried for its whole schedule.
      const first = stage.claim();
      expect(first).toMatchObject({ sequence: 1, attempt: 1 });
      stage.settle(failed(first));
      expect(stage.lane(task)).toMatchObject({ dead: 0, attempt: 1, due: stage.now + 5 * SECOND });
      await stage.pass(5 * SECOND);
      const sequences: number[] = [];
      for (let claims = stage.claims(); claims.length > 0; ) {
        sequences.push(...claims.map(({ sequence }) => sequence));
        claims = stage.claims({ settled: claims.map(delivered) });
      }
      expect(sequences).toEqual([1, 2, 3, 4]);
    }));
});
