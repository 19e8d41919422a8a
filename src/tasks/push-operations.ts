// What operators do with the notifications of a home: look, pause and resume, send again, rotate a secret.

import type { AuditEvent } from "../audit/entry.ts";
import type { DeliveryHealth } from "../delivery/exchange.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { REDACTED } from "../protocol/limited-text.ts";
import type { By } from "./commands.ts";
import { toConfigEvent } from "./config-event.ts";
import { settled } from "./filters.ts";
import type { Lane, Notification } from "./lanes.ts";
import type { Notifications } from "./notifications.ts";
import type { PushCommands } from "./push-commands.ts";
import type { PushConfig } from "./push-configs.ts";
import type { Store } from "./store.ts";

/** Notifications that one replay sends again at most. */
const MAX_REPLAY = 10_000;

export type ConfigQuery = { task: string; config: string };

export type DeadQuery = ConfigQuery & { seq: number; sequence: number };

export type PushOperationsOptions = {
  store: Store;
  notifications: Notifications;
  commands: PushCommands;
  now(): number;
  /** Something is to be shipped. */
  changed(): void;
};

export class PushOperations {
  readonly #options: PushOperationsOptions;

  constructor(options: PushOperationsOptions) {
    this.#options = options;
  }

  health(query: ConfigQuery): Result<DeliveryHealth, Failure> {
    const config = this.#find(query);
    return config ? ok(this.#options.commands.health(config)) : err(configNotFound(query));
  }

  setState(query: ConfigQuery & { by: By; state: "active" | "paused" }): Result<DeliveryHealth, Failure> {
    const { store, notifications, now, changed } = this.#options;
    const config = this.#find(query);
    if (!config) return err(configNotFound(query));
    const reason = query.state === "paused" ? "Paused by an operator." : null;
    store.write(() => {
      if (!notifications.settling.setState(query.task, config, query.state, reason, now())) return;
      this.#record(query.state === "paused" ? "config.paused" : "config.resumed", config, query.by);
    });
    changed();
    for (const lane of store.lanes.forTask(query.task)) {
      if (lane.config === query.config) notifications.wake(lane);
    }
    return this.health(query);
  }

  /** Sends again what the config received, or should have, between two times (ms, both inclusive). */
  replay(
    query: ConfigQuery & { by: By; from: number; to: number },
  ): Result<{ notifications: number }, Failure> {
    const { store } = this.#options;
    const config = this.#find(query);
    const main = config && store.lanes.get(query.task, config.lane);
    if (!config || !main) return err(configNotFound(query));
    const list: Notification[] = [];
    for (const notification of settled(store.journal, config, main)) {
      const at = store.journal.writtenAt(query.task, notification[0]);
      if (at >= query.from && at <= query.to) list.push(notification);
      if (list.length > MAX_REPLAY) {
        const description = `selects more than ${MAX_REPLAY} notifications; choose a shorter time`;
        return err(failure("INVALID_PARAMS", { violations: [{ field: "to", description }] }));
      }
    }
    if (list.length > 0) {
      const { from, to } = query;
      this.#sendAgain(main, list, () =>
        this.#record("config.replayed", config, query.by, { from, to, notifications: list.length }),
      );
    }
    return ok({ notifications: list.length });
  }

  /** Gives dead notifications another life; `gone` are those whose task or config is no longer there. */
  retryDead(letters: readonly DeadQuery[], by: By): Result<{ accepted: number; gone: DeadQuery[] }, Failure> {
    const { store } = this.#options;
    const byConfig = Map.groupBy(letters, ({ task, config }) => JSON.stringify([task, config]));
    const gone: DeadQuery[] = [];
    let accepted = 0;
    for (const group of byConfig.values()) {
      const [first] = group;
      const config = first && this.#find(first);
      const main = config && store.lanes.get(config.task, config.lane);
      // A config that was deleted and set again under the same id never had them.
      const isKept = ({ task, seq }: DeadQuery) =>
        main && seq > main.start && store.journal.entry(task, seq) !== undefined;
      const kept = group.filter(isKept);
      gone.push(...group.filter((letter) => !isKept(letter)));
      if (!config || !main) continue;
      const list = kept.map(({ seq, sequence }) => [seq, sequence] as const).sort(([a], [b]) => a - b);
      if (list.length > 0) {
        this.#sendAgain(main, list, () =>
          this.#record("config.retried", config, by, { notifications: list.length }),
        );
      }
      accepted += list.length;
    }
    return ok({ accepted, gone });
  }

  sealedSecrets(query: ConfigQuery): Result<{ sealed: string | null }, Failure> {
    const config = this.#find(query);
    return config ? ok({ sealed: config.sealed }) : err(configNotFound(query));
  }

  /**
   * Replaces the secrets that were read as `was`; refuses if its owner has set others since. A batch is signed with one
   * secret, so the config leaves those that it shares, and has its own from then on.
   */
  rotateSecret(query: ConfigQuery & { by: By; was: string | null; sealed: string }): Result<void, Failure> {
    const { store } = this.#options;
    const config = this.#find(query);
    if (!config) return err(configNotFound(query));
    if (config.sealed !== query.was) {
      const message = "The config was changed at the same time; try again.";
      return err(failure("UNAVAILABLE", { message, retryAfterSeconds: 1 }));
    }
    const batch = config.batch && { ...config.batch, key: crypto.randomUUID() };
    store.write(() => {
      const answer = { ...config.answer, secret: REDACTED };
      store.configs.save({ ...config, batch, sealed: query.sealed, answer });
      for (const lane of store.lanes.forTask(query.task)) {
        if (lane.config !== config.id || lane.batch === null) continue;
        // What joins it now was not tried yet.
        store.lanes.save({ ...lane, batch: null, attempt: 0 });
      }
      this.#record("config.secret_rotated", config, query.by);
    });
    return ok(undefined);
  }

  /** Makes a lane with a list of its own. It runs beside the main one: new events do not wait for old ones. */
  #sendAgain(main: Lane, list: readonly Notification[], record: () => void): void {
    const { store, notifications, now } = this.#options;
    const at = now();
    const lane: Lane = {
      ...main,
      lane: crypto.randomUUID(),
      list,
      head: list[0]?.[0] ?? 0,
      pending: true,
      attempt: 0,
      due: main.state === "active" ? at : null,
      clockFrom: at,
      failures: 0,
      failingSince: null,
      batch: null,
    };
    store.write(() => {
      store.lanes.insert(lane);
      record();
    });
    notifications.wake(lane);
  }

  #record(kind: AuditEvent["kind"], config: PushConfig, by: By, detail?: AuditEvent["detail"]): void {
    const { store } = this.#options;
    const lane = store.lanes.get(config.task, config.lane);
    store.record(toConfigEvent(kind, config, lane, by, detail));
  }

  #find({ task, config: id }: ConfigQuery): PushConfig | undefined {
    const { store } = this.#options;
    const config = store.exists ? store.configs.get(task, id) : undefined;
    return config?.deleting ? undefined : config;
  }
}

function configNotFound({ task, config }: ConfigQuery): Failure {
  const message = "Push notification config not found";
  return failure("NOT_FOUND", { message, metadata: { taskId: task, configId: config } });
}
