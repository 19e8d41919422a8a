// MetricsObject: the one object that counts for the whole deployment, so that a scrape is one request and its
// answer does not depend on which machine it reached.
//
// A delta is written in one transaction with the number of its source: one that comes twice, because its answer was
// lost, counts once. That costs two rows, however many series it touches: one of the source, and one that holds all
// totals (a few KB, since labels are few and their values known).

import { DurableObject } from "cloudflare:workers";
import packageJson from "../../package.json";
import { exposition } from "./exposition.ts";
import { log } from "./log.ts";
import type { MetricsDelta } from "./metrics.ts";
import { parseKey } from "./series.ts";
import { Totals } from "./totals.ts";

const DAY_MS = 86_400_000;
/** A source that was not heard of for so long no longer counts in gauges: it may be gone for good. */
const LIVE_MS = 3_600_000;
/** For so long a source's last number is remembered; a delta is repeated within minutes or never. */
const REMEMBERED_MS = 30 * DAY_MS;
const MAX_SOURCE_LENGTH = 256;
/** Keys that one line of the log names, and how much of each. */
const NAMED_KEYS = 5;
const NAMED_LENGTH = 100;

type Report = { heardAt: number; gauges: Record<string, number> };

export class MetricsObject extends DurableObject<Env> {
  readonly #storage: DurableObjectStorage;
  #totals: Totals | undefined;
  /** Sources with gauges that still count, so that a scrape reads no rows. */
  #reports = new Map<string, Report>();
  #forgottenAt = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = ctx.storage;
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS totals (
        id INTEGER PRIMARY KEY,    -- always 1
        body TEXT NOT NULL         -- Totals.save
      );
      CREATE TABLE IF NOT EXISTS sources (
        source TEXT PRIMARY KEY,
        number INTEGER NOT NULL,   -- of the newest delta
        heard_at INTEGER NOT NULL, -- ms
        gauges TEXT NOT NULL       -- JSON object, value by key
      ) WITHOUT ROWID;
    `);
  }

  /**
   * Counts a delta, unless its source has sent it, some of it or a later one before. Returns the number of the newest
   * delta of the source that has been counted.
   */
  async add(delta: MetricsDelta): Promise<number> {
    const now = Date.now();
    const { source, number } = delta;
    if (source.length > MAX_SOURCE_LENGTH || !Number.isSafeInteger(number)) {
      log("warn", "a delta of metrics was dropped: its source or its number cannot be stored");
      return number;
    }
    const totals = this.#load(now);
    const last = source === "" ? undefined : this.#lastNumber(source);
    const counts = Object.keys(delta.counters).length + Object.keys(delta.observations).length > 0;
    if (counts && last !== undefined && (number <= last || (delta.after ?? last) < last)) return last;

    const newest = Math.max(number, last ?? number);
    const { gauges, unknown } = knownGauges(source === "" ? {} : delta.gauges);
    const dropped = [...totals.add(delta), ...unknown];
    try {
      this.#storage.transactionSync(() => {
        if (counts) this.#save(totals);
        if (source !== "") this.#report(source, newest, { heardAt: now, gauges });
      });
    } catch (error) {
      // The totals in memory hold more than those on disk: they are read again.
      this.#totals = undefined;
      throw error;
    }
    if (dropped.length > 0) logDropped(dropped);
    return newest;
  }

  /** The exposition, in the form of `EXPOSITION_TYPE`. */
  async read(): Promise<string> {
    const now = Date.now();
    const totals = this.#load(now);
    for (const [source, { heardAt }] of this.#reports) {
      if (now - heardAt > LIVE_MS) this.#reports.delete(source);
    }
    const reports = [...this.#reports.values()].map(({ gauges }) => gauges);
    return exposition({ totals, reports, version: packageJson.version, now });
  }

  #load(now: number): Totals {
    const { sql } = this.#storage;
    if (now - this.#forgottenAt > DAY_MS) {
      this.#forgottenAt = now;
      sql.exec("DELETE FROM sources WHERE heard_at < ?", now - REMEMBERED_MS);
    }
    if (this.#totals) return this.#totals;
    const [row] = sql.exec<{ body: string }>("SELECT body FROM totals").toArray();
    this.#reports.clear();
    const live = sql.exec<{ source: string; heard_at: number; gauges: string }>(
      "SELECT source, heard_at, gauges FROM sources WHERE heard_at >= ?",
      now - LIVE_MS,
    );
    for (const { source, heard_at, gauges } of live) {
      this.#reports.set(source, { heardAt: heard_at, gauges: JSON.parse(gauges) as Report["gauges"] });
    }
    this.#totals = row ? Totals.load(row.body) : new Totals();
    return this.#totals;
  }

  #lastNumber(source: string): number | undefined {
    const select = "SELECT number FROM sources WHERE source = ?";
    const [row] = this.#storage.sql.exec<{ number: number }>(select, source).toArray();
    return row?.number;
  }

  #save(totals: Totals): void {
    this.#storage.sql.exec("INSERT OR REPLACE INTO totals VALUES (1, ?)", totals.save());
  }

  #report(source: string, number: number, report: Report): void {
    const { heardAt, gauges } = report;
    const insert = "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?)";
    this.#storage.sql.exec(insert, source, number, heardAt, JSON.stringify(gauges));
    this.#reports.set(source, report);
  }
}

function knownGauges(given: Record<string, number>): { gauges: Report["gauges"]; unknown: string[] } {
  const gauges: Report["gauges"] = {};
  const unknown: string[] = [];
  for (const [text, value] of Object.entries(given)) {
    const key = parseKey(text, "gauge");
    if (key && Number.isFinite(value)) gauges[key.text] = value;
    else unknown.push(text);
  }
  return { gauges, unknown };
}

function logDropped(keys: readonly string[]): void {
  const named = keys.slice(0, NAMED_KEYS).map((key) => key.slice(0, NAMED_LENGTH));
  log("warn", "metrics that are not in the list, or beyond their number, were dropped", {
    keys: named,
    dropped: keys.length,
  });
}
