// What tests do to homes behind the server's back: set their clock, crash them, ring their alarm, count what
// they write.
//
// Importing this file puts Date.now in the hands of the test, for homes as for the Worker: they share an
// isolate with it. It has to happen before a home is made, since a home keeps the function it finds.

import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { homeOf } from "./client.ts";

const realNow = Date.now;
let aheadMs = 0;
Date.now = () => realNow() + aheadMs;

/** Moves the clock forward; alarms do not ring by themselves for it. */
export function advance(ms: number): void {
  aheadMs += ms;
}

/** What kill -9 does to the objects: whatever was not on disk is gone, and whoever waits for one is told. */
export function crash(): Promise<void> {
  return abortAllDurableObjects();
}

/** Rings the alarm of an owner's home now; false if none was set. */
export function ring(owner: string, shard = 0): Promise<boolean> {
  return runDurableObjectAlarm(homeOf(owner, shard));
}

/** When the alarm of an owner's home rings, in ms; null: it is not set. */
export function alarmOf(owner: string): Promise<number | null> {
  return runInDurableObject(homeOf(owner), (_, { storage }) => storage.getAlarm());
}

/** Rows of a query on a home's database. */
export function query<T extends Record<string, SqlStorageValue>>(
  owner: string,
  sql: string,
  ...bindings: SqlStorageValue[]
): Promise<T[]> {
  return runInDurableObject(homeOf(owner), (_, state) =>
    state.storage.sql.exec<T>(sql, ...bindings).toArray(),
  );
}

export type Costs = {
  /** Rows written by SQL since the counting began, index rows included. */
  rows: number;
  /** Rows that SQL has looked at. */
  rowsRead: number;
  /** Outermost calls of transactionSync. */
  transactions: number;
  /** How often the alarm was set. */
  alarms: number;
};

/** Counts what an owner's home costs from now on, as long as its object lives. */
export async function countCosts(owner: string): Promise<() => Promise<Costs>> {
  const home = homeOf(owner);
  const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
  let [transactions, alarms, depth] = [0, 0, 0];
  await runInDurableObject(home, (_, { storage }) => {
    const { sql } = storage;
    const exec = sql.exec.bind(sql);
    const transactionSync = storage.transactionSync.bind(storage);
    const setAlarm = storage.setAlarm.bind(storage);
    // The home holds the very same objects.
    Object.defineProperty(sql, "exec", {
      value: (text: string, ...bindings: SqlStorageValue[]) => {
        const cursor = exec(text, ...bindings);
        cursors.push(cursor);
        return cursor;
      },
    });
    Object.defineProperty(storage, "transactionSync", {
      value: <T>(write: () => T): T => {
        if (depth === 0) transactions += 1;
        depth += 1;
        try {
          return transactionSync(write);
        } finally {
          depth -= 1;
        }
      },
    });
    Object.defineProperty(storage, "setAlarm", {
      value: (time: number) => {
        alarms += 1;
        return setAlarm(time);
      },
    });
  });
  return () =>
    runInDurableObject(home, () => ({
      rows: cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, 0),
      rowsRead: cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0),
      transactions,
      alarms,
    }));
}
