// The table `configs` of a home: what callers have asked to be notified of. What became of it stands in lanes.

import type { ClaimOptions } from "../delivery/exchange.ts";
import type { PushConfigAnswer, StoredConfig } from "../delivery/stored-config.ts";
import { keepNewest } from "../lib/keep-newest.ts";
import type { EventName } from "../protocol/push-options.ts";
import type { Filter } from "./filters.ts";

/** A lane, for the endpoint that has claims of it. */
export type LaneRef = { endpoint: string; lane: string };

/** A config as its home keeps it. */
export type PushConfig = Omit<StoredConfig, "endpoint" | "target"> & {
  task: string;
  agent: string;
  createdAt: number;
  /** Deleted, but a send may still be under way. Nothing shows it any more. */
  deleting: boolean;
  /** Lanes of earlier generations, of which a send may still be under way. */
  replaced: readonly LaneRef[];
  /** Those it has had, the present one last; none: the present one from its beginning. */
  filters: readonly Filter[];
};

type Row = {
  task: string;
  id: string;
  agent: string;
  lane: string;
  url: string;
  version: string;
  events: string | null;
  batch: string | null;
  retry: string | null;
  sealed: string | null;
  options: string;
  answer: string;
  created_at: number;
  deleting: number;
  replaced: string | null;
  filters: string | null;
};

/** Configs that are kept in memory: each is read several times for every notification. */
const REMEMBERED = 100;

export class PushConfigs {
  readonly #sql: SqlStorage;
  readonly #remembered = new Map<string, PushConfig>();
  /** Endpoints of which there is a row, and until when (ms) they count as validated. */
  readonly #noted = new Map<string, number>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Whether there is any config in this home. */
  any(): boolean {
    return this.#sql.exec("SELECT 1 FROM configs LIMIT 1").toArray().length > 0;
  }

  get(task: string, id: string): PushConfig | undefined {
    const key = keyOf(task, id);
    const remembered = this.#remembered.get(key);
    if (remembered) return remembered;
    const [row] = this.#sql.exec<Row>("SELECT * FROM configs WHERE task = ? AND id = ?", task, id).toArray();
    if (!row) return undefined;
    return this.#remember(toConfig(row));
  }

  #remember(config: PushConfig): PushConfig {
    keepNewest(this.#remembered, keyOf(config.task, config.id), config, REMEMBERED);
    return config;
  }

  /** Forgets what is in memory: after a transaction that was rolled back. */
  forget(): void {
    this.#remembered.clear();
    this.#noted.clear();
  }

  /** All of a task, by id, those that are being deleted among them. */
  list(task: string): PushConfig[] {
    return this.#sql
      .exec<Row>("SELECT * FROM configs WHERE task = ? ORDER BY id", task)
      .toArray()
      .map(toConfig);
  }

  save(config: PushConfig): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO configs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      config.task,
      config.id,
      config.agent,
      config.lane,
      config.url,
      config.version,
      toJson(config.events),
      toJson(config.batch),
      toJson(config.retryMs),
      config.sealed,
      JSON.stringify(config.options),
      JSON.stringify(config.answer),
      config.createdAt,
      config.deleting ? 1 : 0,
      config.replaced.length > 0 ? JSON.stringify(config.replaced) : null,
      config.filters.length > 0 ? JSON.stringify(config.filters) : null,
    );
    this.#remember(config);
  }

  /** Hides a config whose last send may still be under way. */
  markDeleting(task: string, id: string): void {
    this.#remembered.delete(keyOf(task, id));
    this.#sql.exec("UPDATE configs SET deleting = 1 WHERE task = ? AND id = ?", task, id);
  }

  delete(task: string, id: string): void {
    this.#remembered.delete(keyOf(task, id));
    this.#sql.exec("DELETE FROM configs WHERE task = ? AND id = ?", task, id);
  }

  deleteTask(task: string): void {
    this.forget();
    this.#sql.exec("DELETE FROM configs WHERE task = ?", task);
  }

  /** Remembers that an origin has echoed a challenge, and until when (ms) that counts. */
  saveValidated(endpoint: string, until: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO validated VALUES (?, ?)", endpoint, until);
    this.#noted.delete(endpoint);
  }

  /** Remembers an endpoint that a config was for, also when that is gone: an erasure has it forget what it knows. */
  noteEndpoint(endpoint: string): void {
    if (this.#untilOf(endpoint) === undefined)
      this.#sql.exec("INSERT INTO validated VALUES (?, 0)", endpoint);
  }

  /** Some of the endpoints that are remembered. */
  endpoints(limit: number): string[] {
    return this.#sql
      .exec<{ endpoint: string }>("SELECT endpoint FROM validated LIMIT ?", limit)
      .toArray()
      .map((row) => row.endpoint);
  }

  forgetEndpoint(endpoint: string): void {
    this.#sql.exec("DELETE FROM validated WHERE endpoint = ?", endpoint);
    this.#noted.delete(endpoint);
  }

  isValidated(endpoint: string, now: number): boolean {
    return (this.#untilOf(endpoint) ?? 0) > now;
  }

  /** Until when an endpoint counts as validated; undefined: it is not noted. */
  #untilOf(endpoint: string): number | undefined {
    const known = this.#noted.get(endpoint);
    if (known !== undefined) return known;
    const query = "SELECT until FROM validated WHERE endpoint = ?";
    const [row] = this.#sql.exec<{ until: number }>(query, endpoint).toArray();
    if (!row) return undefined;
    keepNewest(this.#noted, endpoint, row.until, REMEMBERED);
    return row.until;
  }
}

function toConfig(row: Row): PushConfig {
  return {
    task: row.task,
    id: row.id,
    agent: row.agent,
    lane: row.lane,
    url: row.url,
    version: row.version as StoredConfig["version"],
    events: fromJson<EventName[]>(row.events),
    batch: fromJson<NonNullable<StoredConfig["batch"]>>(row.batch),
    retryMs: fromJson<number[]>(row.retry),
    sealed: row.sealed,
    options: JSON.parse(row.options) as ClaimOptions,
    answer: JSON.parse(row.answer) as PushConfigAnswer,
    createdAt: row.created_at,
    deleting: row.deleting === 1,
    replaced: fromJson<LaneRef[]>(row.replaced) ?? [],
    filters: fromJson<Filter[]>(row.filters) ?? [],
  };
}

function toJson(value: unknown): string | null {
  return value === null ? null : JSON.stringify(value);
}

function fromJson<T>(text: string | null): T | null {
  return text === null ? null : (JSON.parse(text) as T);
}

/** Ids that clients have chosen may hold anything, so the length says where the first one ends. */
function keyOf(task: string, id: string): string {
  return `${task.length} ${task}${id}`;
}
