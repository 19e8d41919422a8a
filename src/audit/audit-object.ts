// AuditObject: the chain of administration, which belongs to no home. One object for the deployment: what operators ask
// for, what was told in the database, and who was refused, in sums of a minute.

import { DurableObject } from "cloudflare:workers";
import { saveAudit } from "../store/audit.ts";
import { log } from "../telemetry/log.ts";
import { ADMIN_CHAIN } from "./admin-chain.ts";
import { AuditChain, type AuditTail } from "./chain.ts";
import type { AuditEvent } from "./entry.ts";
import { collectInbox } from "./inbox.ts";
import { createSums, type RefusalCount, toRefusalEvent } from "./refusals.ts";
import { AuditShipping } from "./shipping.ts";

const MINUTE_MS = 60_000;
/** Isolates hand over a little later what they saw in a minute. */
const LATE_MS = 5_000;

export class AuditObject extends DurableObject<Env> {
  readonly #storage: DurableObjectStorage;
  readonly #chain: AuditChain;
  readonly #shipping: AuditShipping;
  /** Whether there may be something in the database that is not in the chain. */
  #isTold = false;
  /** When the alarm will ring; undefined: none is set, or it is not known. */
  #alarmAt: number | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = ctx.storage;
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS audit (
        n INTEGER PRIMARY KEY,     -- as in a home
        at INTEGER NOT NULL,
        since INTEGER NOT NULL,
        body TEXT NOT NULL,
        hash TEXT NOT NULL,
        shipped INTEGER NOT NULL
      );
      CREATE TABLE IF NOT EXISTS minutes (
        minute INTEGER PRIMARY KEY, -- its first ms
        counts TEXT NOT NULL        -- JSON array of RefusalCount
      );
      CREATE TABLE IF NOT EXISTS collected (
        id TEXT PRIMARY KEY         -- of what is in the chain, and perhaps still in the database
      ) WITHOUT ROWID;
    `);
    this.#chain = new AuditChain(ctx.storage.sql, ADMIN_CHAIN);
    this.#shipping = new AuditShipping({
      chain: this.#chain,
      now: Date.now,
      write: (change) => this.#write(change),
      archive: (entries) => saveAudit(env.DB, entries),
      ring: (at) => this.#ring(at),
    });
  }

  /** Answers when the entry is on disk. */
  async record(event: AuditEvent): Promise<void> {
    this.#write(() => this.#chain.append(event, Date.now()));
    this.#shipping.soon();
  }

  /** Counts refusals; their entries are written when the minute is over. */
  async refused(counts: RefusalCount[]): Promise<void> {
    const minute = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
    this.#write(() => {
      const [open] = this.#minutes("minute = ?", minute);
      const sums = createSums();
      for (const count of [...(open?.counts ?? []), ...counts]) sums.add(count);
      const save = "INSERT OR REPLACE INTO minutes VALUES (?, ?)";
      this.#storage.sql.exec(save, minute, JSON.stringify(sums.list()));
    });
    this.#ring(minute + MINUTE_MS + LATE_MS);
  }

  /** Takes over soon what was told in the database: by the alarm, of which there is never more than one. */
  async collect(): Promise<void> {
    this.#isTold = true;
    this.#ring(Date.now());
  }

  /** What follows entry `n`, as far as it was not shipped. */
  async auditTail(n: number): Promise<AuditTail> {
    return this.#chain.tail(n);
  }

  /** Never throws: an alarm that throws six times is dropped for good. */
  override async alarm(): Promise<void> {
    this.#alarmAt = undefined;
    const now = Date.now();
    try {
      this.#close(now - MINUTE_MS - LATE_MS);
      if (this.#isTold) await this.#collect();
      await this.#shipping.run(now);
      this.#arm();
    } catch (error) {
      log("error", "the audit's alarm failed", { error });
      this.#ring(now + MINUTE_MS);
    }
  }

  /** Writes the entries of minutes that began at `until` (ms) or before. */
  #close(until: number): void {
    for (const { minute, counts } of this.#minutes("minute <= ?", until)) {
      this.#write(() => {
        for (const count of counts) this.#chain.append(toRefusalEvent(count, minute), Date.now());
        this.#storage.sql.exec("DELETE FROM minutes WHERE minute = ?", minute);
      });
      this.#shipping.soon();
    }
  }

  async #collect(): Promise<void> {
    const { sql } = this.#storage;
    const mark = "INSERT OR IGNORE INTO collected VALUES (?)";
    this.#isTold = await collectInbox({
      db: this.env.DB,
      append: (rows) => {
        this.#write(() => {
          const fresh = rows.filter(({ id }) => sql.exec(mark, id).rowsWritten > 0);
          for (const { event } of fresh) this.#chain.append(event, Date.now());
        });
        this.#shipping.soon();
      },
      forget: () => this.#write(() => sql.exec("DELETE FROM collected")),
    });
  }

  #arm(): void {
    if (this.#isTold) this.#ring(Date.now());
    const [first] = this.#minutes("minute >= ?", 0);
    if (first) this.#ring(first.minute + MINUTE_MS + LATE_MS);
    const at = this.#shipping.wakesAt;
    if (at !== undefined) this.#ring(Math.max(at, Date.now() + 100));
  }

  #minutes(where: string, value: number): { minute: number; counts: RefusalCount[] }[] {
    const select = `SELECT minute, counts FROM minutes WHERE ${where} ORDER BY minute`;
    const rows = this.#storage.sql.exec<{ minute: number; counts: string }>(select, value).toArray();
    return rows.map(({ minute, counts }) => ({ minute, counts: JSON.parse(counts) as RefusalCount[] }));
  }

  #write(change: () => void): void {
    try {
      this.#storage.transactionSync(() => {
        change();
        this.#chain.flush();
      });
    } catch (error) {
      this.#chain.forget();
      throw error;
    }
  }

  /** An object that has started anew does not know its alarm, and sets it once more. */
  #ring(at: number): void {
    if (this.#alarmAt !== undefined && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    void this.#storage.setAlarm(at);
  }
}
