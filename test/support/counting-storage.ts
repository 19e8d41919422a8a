// A Durable Object's storage as its parts see it, but for the alarm, which never rings by itself, and the way to the
// disk, which takes no time. Counts rows.

export type Counted = { rows: number; rowsRead: number; alarms: number };

export class CountingStorage {
  readonly storage: DurableObjectStorage;
  alarmAt: number | null = null;
  #cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] | undefined;
  #alarms = 0;

  constructor(real: DurableObjectStorage) {
    const { sql } = real;
    this.storage = {
      sql: {
        exec: (text: string, ...bindings: SqlStorageValue[]) => {
          const cursor = sql.exec(text, ...bindings);
          this.#cursors?.push(cursor);
          return cursor;
        },
        get databaseSize() {
          return sql.databaseSize;
        },
      },
      transactionSync: real.transactionSync.bind(real),
      sync: async () => {},
      setAlarm: async (at: number) => {
        this.alarmAt = at;
        this.#alarms += 1;
      },
      getAlarm: async () => this.alarmAt,
    } as unknown as DurableObjectStorage;
  }

  /** Counts from now on, index rows included. */
  begin(): () => Counted {
    const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    const alarms = this.#alarms;
    this.#cursors = cursors;
    return () => ({
      rows: cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, 0),
      rowsRead: cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0),
      alarms: this.#alarms - alarms,
    });
  }
}
