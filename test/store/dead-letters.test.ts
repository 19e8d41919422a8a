// Dead letters in D1: filed once, marked by what happens to them, found by whatever an operator knows.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import { saveAttempts } from "../../src/store/attempts.ts";
import {
  type DeadLetterFilter,
  deadLettersWalk,
  endRetries,
  type FiledLetter,
  findDeadLetter,
  type ListedLetter,
  markDeadLetters,
  saveDeadLetters,
  searchDeadLetters,
  trimDeadLetters,
} from "../../src/store/dead-letters.ts";
import type { Position } from "../../src/store/keyset.ts";
import { plansOf } from "./plans.ts";
import { attemptRow, deadLetter } from "./rows.ts";

const db = env.DB;

beforeEach(async () => {
  await db.batch(["dead_letters", "attempts", "ships"].map((table) => db.prepare(`DELETE FROM ${table}`)));
});

const stateOf = async (id = "msg_1") => (await findDeadLetter(db, id))?.state;

describe("saveDeadLetters", () => {
  it("files a letter as it is", async () => {
    const letter = deadLetter({ error: "timeout", status: null });
    await saveDeadLetters(db, [letter]);
    expect(await findDeadLetter(db, letter.id)).toEqual({ ...letter, state: "dead", stateAt: letter.diedAt });
    expect(await findDeadLetter(db, "msg_2")).toBeUndefined();
  });

  it("files nothing for nothing", async () => {
    await saveDeadLetters(db, []);
    expect((await searchDeadLetters(db, {}, { limit: 1 })).rows).toEqual([]);
  });

  it.each([
    ["none, as it was too large", null],
    ["an empty one", ""],
    ["a megabyte of quotes", `"${'\\"'.repeat(499_998)}"`],
    ["a megabyte beyond ASCII", "ü".repeat(500_000)],
  ])("keeps a payload byte for byte: %s", async (_, body) => {
    await saveDeadLetters(db, [deadLetter({ body }), deadLetter({ id: "msg_2" })]);
    expect((await findDeadLetter(db, "msg_1"))?.body).toBe(body);
    expect((await findDeadLetter(db, "msg_2"))?.body).toBe('{"statusUpdate":{}}');
  });

  it("changes nothing when the same death is filed again, whatever was done since", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    await markDeadLetters(db, [deadLetter()], { from: ["dead"], to: "discarded", now: 2_000 });
    await saveDeadLetters(db, [deadLetter(), deadLetter({ diedAt: 999 })]);
    expect(await findDeadLetter(db, "msg_1")).toMatchObject({
      state: "discarded",
      stateAt: 2_000,
      diedAt: 1_000,
    });
  });

  it("makes a letter that died again dead again, with its new reason", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    await markDeadLetters(db, [deadLetter()], { from: ["dead"], to: "retrying", now: 2_000 });
    const again = deadLetter({ diedAt: 3_000, reason: "Too old.", status: 503, attempts: 2 });
    await saveDeadLetters(db, [again]);
    expect(await findDeadLetter(db, "msg_1")).toEqual({ ...again, state: "dead", stateAt: 3_000 });
  });
});

describe("a letter that is delivered after all", () => {
  const delivered = (startedAt: number, n = 1) => attemptRow({ n, notification: "msg_1", startedAt });

  it.each(["dead", "retrying", "discarded"] as const)(
    "is marked by the attempt when it was %s",
    async (state) => {
      await saveDeadLetters(db, [deadLetter(), deadLetter({ id: "msg_2" })]);
      await markDeadLetters(db, [deadLetter()], { from: ["dead"], to: state, now: 1_500 });
      await saveAttempts(db, [delivered(2_000)]);
      expect(await findDeadLetter(db, "msg_1")).toMatchObject({ state: "delivered", stateAt: 2_000 });
      expect(await stateOf("msg_2")).toBe("dead");
    },
  );

  it("is known as such also when it is filed later than the attempt", async () => {
    await saveAttempts(db, [delivered(2_000)]);
    await saveDeadLetters(db, [deadLetter()]);
    expect(await stateOf()).toBe("delivered");
  });

  it("is not marked by an attempt before its death, nor by one that failed", async () => {
    await saveAttempts(db, [delivered(500)]);
    await saveDeadLetters(db, [deadLetter()]);
    expect(await stateOf()).toBe("dead");
    await saveAttempts(db, [
      delivered(600, 2),
      attemptRow({ n: 3, notification: "msg_1", startedAt: 3_000, outcome: "retry", status: 500 }),
    ]);
    expect(await stateOf()).toBe("dead");
  });
});

describe("markDeadLetters", () => {
  it("marks those in a state that it names, in the version that was read, and says how many", async () => {
    const letters = ["msg_1", "msg_2", "msg_3"].map((id) => deadLetter({ id }));
    await saveDeadLetters(db, letters);
    await markDeadLetters(db, letters.slice(0, 1), { from: ["dead"], to: "discarded", now: 5 });
    const stale = { id: "msg_3", diedAt: 999 };
    const marking = { from: ["dead"], to: "retrying", now: 9_000 } as const;
    expect(await markDeadLetters(db, [...letters.slice(0, 2), stale], marking)).toBe(1);
    expect(await Promise.all(letters.map(({ id }) => stateOf(id)))).toEqual([
      "discarded",
      "retrying",
      "dead",
    ]);
  });
});

describe("endRetries", () => {
  it("makes those dead again that were being retried, and says why", async () => {
    const letters = ["msg_1", "msg_2", "msg_3"].map((id) => deadLetter({ id }));
    await saveDeadLetters(db, letters);
    await markDeadLetters(db, letters.slice(0, 1), { from: ["dead"], to: "retrying", now: 2_000 });
    await markDeadLetters(db, letters.slice(1, 2), { from: ["dead"], to: "discarded", now: 2_000 });
    const unknown = Array.from({ length: 1_000 }, (_, i) => `unknown_${i}`);
    await endRetries(db, [...unknown, "msg_1", "msg_2", "msg_3"], 3_000);
    expect(await findDeadLetter(db, "msg_1")).toMatchObject({
      state: "dead",
      stateAt: 3_000,
      diedAt: 1_000,
      reason: "Its config or its task was deleted before it was sent again.",
    });
    expect(await stateOf("msg_2")).toBe("discarded");
    expect(await findDeadLetter(db, "msg_3")).toMatchObject({ state: "dead", stateAt: 1_000 });
  });
});

describe("searchDeadLetters", () => {
  const letters = Array.from({ length: 90 }, (_, i) =>
    deadLetter({
      id: `msg_${i}`,
      owner: `owner-${i % 3}`,
      task: `task-${i % 6}`,
      config: `config-${i % 2}`,
      origin: `https://host-${i % 5}`,
      ...(i % 4 === 0 ? { error: "timeout", status: null } : { error: null, status: 500 + (i % 2) }),
      diedAt: 1_000 + ((i * 7) % 30),
    }),
  );
  const values: { [K in keyof DeadLetterFilter]-?: (DeadLetterFilter[K] | undefined)[] } = {
    owner: [undefined, "owner-1"],
    origin: [undefined, "https://host-2"],
    task: [undefined, "task-4"],
    config: [undefined, "config-1"],
    state: [undefined, "dead", "discarded"],
    error: [undefined, "timeout"],
    status: [undefined, 501],
    from: [undefined, 1_010],
    to: [undefined, 1_020],
  };
  const filters = Object.entries(values).reduce<DeadLetterFilter[]>(
    (all, [name, some]) => some.flatMap((value) => all.map((filter) => ({ ...filter, [name]: value }))),
    [{}],
  );

  it("finds with every combination of filters what fits, the last to die first, each once", async () => {
    await saveDeadLetters(db, letters);
    const discarded = letters.filter((_, i) => i % 3 === 0);
    await markDeadLetters(db, discarded, { from: ["dead"], to: "discarded", now: 1 });
    const stored = letters.map((letter) => {
      return { ...letter, state: discarded.includes(letter) ? ("discarded" as const) : ("dead" as const) };
    });
    for (const filter of filters.filter((_, i) => i % 5 === 0)) {
      const found: ListedLetter[] = [];
      let after: Position | undefined;
      do {
        const page = await searchDeadLetters(db, filter, { after, limit: 20 });
        found.push(...page.rows);
        after = page.next;
      } while (after !== undefined);
      const { from = 0, to = 1e9, ...equal } = filter;
      const expected = stored
        .filter((letter) => letter.diedAt >= from && letter.diedAt < to)
        .filter((letter) =>
          Object.entries(equal).every(
            ([name, value]) =>
              value === undefined || letter[name as keyof FiledLetter & keyof typeof letter] === value,
          ),
        )
        .sort((a, b) => b.diedAt - a.diedAt || (a.id < b.id ? 1 : -1));
      expect(
        found.map(({ id }) => id),
        JSON.stringify(filter),
      ).toEqual(expected.map(({ id }) => id));
    }
  });

  it("does not read the payloads", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    const { rows } = await searchDeadLetters(db, {}, { limit: 1 });
    expect(rows[0]).not.toHaveProperty("body");
  });

  it("walks an index in the order of the list with every combination, in both directions", async () => {
    const seen = new Set<string>();
    for (const filter of filters) {
      for (const oldestFirst of [false, true]) {
        const walk = deadLettersWalk(filter, oldestFirst);
        const shape = [walk.index, ...[...walk.within, ...walk.checks].map(({ column }) => column)].join();
        if (seen.has(`${shape} ${oldestFirst}`)) continue;
        seen.add(`${shape} ${oldestFirst}`);
        for (const plan of await plansOf(db, walk, { limit: 50, after: [1_005, "msg_4"] })) {
          expect(plan, JSON.stringify(filter)).toMatch(
            /SEARCH dead_letters USING (COVERING )?INDEX dead_letters_by_/,
          );
          expect(plan.replaceAll("SCAN walked", ""), JSON.stringify(filter)).not.toMatch(/SCAN|TEMP B-TREE/);
        }
      }
    }
    expect(seen.size).toBeGreaterThan(50);
  });
});

describe("trimDeadLetters", () => {
  it("deletes the oldest before a time, in whatever state, no more than asked for", async () => {
    await saveDeadLetters(
      db,
      Array.from({ length: 6 }, (_, i) => deadLetter({ id: `msg_${i}`, diedAt: 10 + i })),
    );
    await markDeadLetters(db, [{ id: "msg_0", diedAt: 10 }], { from: ["dead"], to: "discarded", now: 1 });
    expect(await trimDeadLetters(db, 14, 3)).toBe(3);
    expect(await trimDeadLetters(db, 14, 3)).toBe(1);
    expect((await searchDeadLetters(db, {}, { limit: 9 })).rows.map(({ id }) => id)).toEqual([
      "msg_5",
      "msg_4",
    ]);
  });
});
