// The group commit: when a write is on disk, and that those who share a trip to it share nothing else.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { Commits } from "../../src/tasks/commits.ts";
import { homeOf, newOwner } from "../support/client.ts";

/** A disk whose trips end when the test says. */
function createDisk() {
  const trips: PromiseWithResolvers<void>[] = [];
  const storage = {
    transactionSync: <T>(write: () => T) => write(),
    sync: () => {
      const trip = Promise.withResolvers<void>();
      trips.push(trip);
      return trip.promise;
    },
  };
  return { trips, commits: new Commits(storage as unknown as DurableObjectStorage) };
}

/** Whether a promise has resolved by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  for (let i = 0; i < 20; i++) await undefined;
  return done;
}

const nothing = () => {};

describe("durable()", () => {
  it("resolves at once, without a trip, when nothing was written", async () => {
    const { trips, commits } = createDisk();
    await commits.durable();
    expect(trips).toHaveLength(0);
  });

  it("resolves when what was written before is on disk, and not before", async () => {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    const durable = commits.durable();
    expect(await isDone(durable)).toBe(false);
    trips[0]?.resolve();
    expect(await isDone(durable)).toBe(true);
  });

  it("shares one trip among all who ask while it is under way and have written nothing since", async () => {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    const all = [commits.durable(), commits.durable(), commits.durable()];
    expect(trips).toHaveLength(1);
    trips[0]?.resolve();
    for (const durable of all) expect(await isDone(durable)).toBe(true);
  });

  it("waits for a trip that began after the write, not for the one under way", async () => {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    const first = commits.durable();
    commits.write(nothing);
    const second = commits.durable();
    const third = commits.durable();
    expect(trips).toHaveLength(1);
    trips[0]?.resolve();
    expect(await isDone(first)).toBe(true);
    expect(await isDone(second)).toBe(false);
    expect(trips).toHaveLength(2);
    trips[1]?.resolve();
    expect(await isDone(second)).toBe(true);
    expect(await isDone(third)).toBe(true);
    expect(trips).toHaveLength(2);
  });

  it("waits also for a write made between the end of a trip and the next", async () => {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    void commits.durable();
    commits.write(nothing);
    const second = commits.durable();
    trips[0]?.resolve();
    await isDone(second);
    commits.write(nothing);
    const third = commits.durable();
    trips[1]?.resolve();
    expect(await isDone(second)).toBe(true);
    expect(await isDone(third)).toBe(false);
    trips[2]?.resolve();
    expect(await isDone(third)).toBe(true);
  });

  it("rejects when the disk does, and works again afterwards", async () => {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    const durable = commits.durable();
    trips[0]?.reject(new Error("disk full"));
    await expect(durable).rejects.toThrow("disk full");
    commits.write(nothing);
    const next = commits.durable();
    trips[1]?.resolve();
    expect(await isDone(next)).toBe(true);
  });
});

describe("turn()", () => {
  it("resolves at once when no commit is under way", async () => {
    expect(await isDone(createDisk().commits.turn())).toBe(true);
  });

  it("lets all who came during a commit write together after it", async () => {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    void commits.durable();
    const written: number[] = [];
    const writers = [1, 2].map(async (n) => {
      await commits.turn();
      commits.write(() => written.push(n));
      await commits.durable();
    });
    await isDone(Promise.resolve());
    expect(written).toEqual([]);
    trips[0]?.resolve();
    expect(await isDone(Promise.resolve())).toBe(true);
    expect(written).toEqual([1, 2]);
    // They share the next trip, but for the first of them, which begins it.
    for (const trip of trips) {
      trip.resolve();
      await isDone(trip.promise);
    }
    await Promise.all(writers);
    expect(trips.length).toBeLessThanOrEqual(3);
  });
});

describe("turn(), while several come at once", () => {
  /** Commits for which so many have waited and written together. */
  async function afterWave(company: number) {
    const { trips, commits } = createDisk();
    commits.write(nothing);
    void commits.durable();
    const writers = Array.from({ length: company }, async () => {
      await commits.turn();
      commits.write(nothing);
    });
    trips[0]?.resolve();
    await Promise.all(writers);
    void commits.durable();
    trips[1]?.resolve();
    await isDone(Promise.resolve());
    return commits;
  }

  it("gathers the next wave: who comes within a few milliseconds writes with it", async () => {
    const commits = await afterWave(3);
    const written: number[] = [];
    const writers = [1, 2, 3].map(async (n) => {
      for (let i = 0; i < 4 * n; i++) await undefined;
      await commits.turn();
      commits.write(() => written.push(n));
    });
    expect(await isDone(Promise.all(writers))).toBe(false);
    expect([written, commits.waiting]).toEqual([[], 3]);
    await Promise.all(writers);
    expect(written).toEqual([1, 2, 3]);
    expect(commits.waiting).toBe(0);
    // It was a wave itself.
    expect(await isDone(commits.turn())).toBe(false);
  });

  it("keeps nobody waiting after two, or later", async () => {
    const two = await afterWave(2);
    expect(await isDone(two.turn())).toBe(true);
    const three = await afterWave(3);
    await scheduler.wait(40);
    expect(await isDone(three.turn())).toBe(true);
  });

  it("gathers no longer when nobody came", async () => {
    const commits = await afterWave(3);
    await commits.turn();
    expect(await isDone(commits.turn())).toBe(true);
  });
});

describe("write()", () => {
  it("rolls back a write that throws, and none of its neighbours in the same wave", async () => {
    const rows = await runInDurableObject(homeOf(newOwner()), async (_, { storage }) => {
      storage.sql.exec("CREATE TABLE t (n INTEGER PRIMARY KEY)");
      const commits = new Commits(storage);
      const insert = (n: number, then = nothing) =>
        commits.write(() => {
          storage.sql.exec("INSERT INTO t VALUES (?)", n);
          then();
        });
      insert(1);
      expect(() => insert(2, () => insert(1))).toThrow(/UNIQUE/);
      expect(() =>
        insert(3, () => {
          throw new Error("changed my mind");
        }),
      ).toThrow("changed my mind");
      insert(4);
      await commits.durable();
      return storage.sql.exec<{ n: number }>("SELECT n FROM t").toArray();
    });
    expect(rows.map(({ n }) => n)).toEqual([1, 4]);
  });

  it("returns what the write returns", () => {
    expect(createDisk().commits.write(() => 7)).toBe(7);
  });
});
