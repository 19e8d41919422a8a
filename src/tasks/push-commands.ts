// What callers do with the push notification configs of a task: set, get, list and delete them.
//
// A deletion is over only when no send is under way any more. Until then the config is hidden but its row stays, so
// that a deletion which was cut off can be finished by the next one.

import type { DeliveryHealth } from "../delivery/exchange.ts";
import type { PushConfigAnswer, PushConfigView, StoredConfig } from "../delivery/stored-config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { log } from "../telemetry/log.ts";
import type { By } from "./commands.ts";
import { toConfigEvent } from "./config-event.ts";
import { healthOf } from "./delivery-health.ts";
import type { Lane } from "./lanes.ts";
import type { TaskRecord } from "./machine.ts";
import type { Notifications } from "./notifications.ts";
import { droppedItems } from "./outbox.ts";
import type { PushConfig } from "./push-configs.ts";
import { toConfigItem } from "./settling.ts";
import type { Store } from "./store.ts";
import { upcoming } from "./upcoming.ts";

export type PushCommandsOptions = {
  store: Store;
  notifications: Notifications;
  now(): number;
  /** Most configs of a task. */
  maxConfigs: number;
  /** Whether a config is only taken when its origin has passed the challenge. */
  allValidated: boolean;
  /** How long an attempt lasts at most (ms). */
  attemptMs: number;
  /** Has the endpoint drop a lane; resolves when no send of it is under way. */
  forget(endpoint: string, lane: string): Promise<void>;
  waitUntil(promise: Promise<unknown>): void;
  /** Something is to be shipped. */
  changed(): void;
  sleep(ms: number): Promise<void>;
};

export class PushCommands {
  readonly #options: PushCommandsOptions;

  constructor(options: PushCommandsOptions) {
    this.#options = options;
  }

  /** Sets a config: a new one begins after the newest event, one with a known id replaces that. */
  async set(record: TaskRecord, stored: StoredConfig, by: By): Promise<Result<PushConfigAnswer, Failure>> {
    const { store, changed } = this.#options;
    const refused = this.check(record.id, stored);
    if (refused) return err(refused);
    const replaced = store.write(() => this.save(record, stored, record.seq, by));
    changed();
    await this.#forget(replaced);
    this.#release(record.id, stored.id);
    return ok(stored.answer);
  }

  /** Why a task cannot have this config; undefined: it can. */
  check(task: string, { id }: StoredConfig): Failure | undefined {
    const { store, maxConfigs } = this.#options;
    if (!store.exists) return undefined;
    const others = store.configs.list(task).filter((config) => config.id !== id && !config.deleting);
    if (others.length < maxConfigs) return undefined;
    const description = `is one too many: a task has at most ${maxConfigs} push notification configs`;
    return failure("INVALID_PARAMS", { violations: [{ field: "taskPushNotificationConfig", description }] });
  }

  /**
   * Writes a config whose notifications begin after journal row `after`; inside a transaction. Returns the lanes that
   * it replaces, some of whose sends may be under way: what was pending goes to the new one, a little later.
   */
  save(record: TaskRecord, stored: StoredConfig, after: number, by: By): Lane[] {
    const { store, notifications, now, attemptMs } = this.#options;
    const at = now();
    const { endpoint, target, ...own } = stored;
    // A config has a lane, and a new task has none.
    const hasAny = store.lanes.forTask(record.id).length > 0;
    const known = hasAny ? store.configs.get(record.id, stored.id) : undefined;
    const config: PushConfig = {
      ...own,
      task: record.id,
      agent: record.agent,
      createdAt: known?.createdAt ?? at,
      deleting: false,
    };
    const replaced = known ? this.#lanesOf(known) : [];
    for (const lane of replaced) store.lanes.delete(lane.task, lane.lane);
    const kept = known?.deleting === false ? replaced : [];
    const before = kept.find((lane) => lane.list === null);
    const fresh = newLane(stored, record.id, after, at);
    const afresh = (lane: Lane, name: string): Lane => ({
      ...lane,
      lane: name,
      endpoint,
      target,
      attempt: 0,
      batch: null,
      // Not before a send of the old one must be over, should nobody be able to say that it is.
      due: lane.pending ? at + attemptMs : null,
      clockFrom: at,
      state: "active",
      reason: null,
      stateAt: at,
      failures: 0,
      failingSince: null,
    });
    const lane = afresh(before ? this.#refilter(before, stored.events) : fresh, stored.lane);
    store.configs.save(config);
    store.configs.noteEndpoint(endpoint);
    store.lanes.insert(lane);
    for (const again of kept) {
      if (again.list) store.lanes.insert(afresh(again, crypto.randomUUID()));
    }
    store.outbox.add([toConfigItem(config, lane, "active", null, at)]);
    const kind = known?.deleting === false ? "config.replaced" : "config.created";
    store.record(toConfigEvent(kind, config, lane, by));
    notifications.wake(lane);
    return replaced.filter((old) => old.pending);
  }

  /** What is pending may not be wanted any more by a config that asks for other events. */
  #refilter(lane: Lane, events: StoredConfig["events"]): Lane {
    if (!lane.pending) return lane;
    const { journal } = this.#options.store;
    const { value: next } = upcoming(journal, lane, events, lane.head - 1, lane.sequence).next();
    return next ? { ...lane, head: next[0] } : { ...lane, pending: false };
  }

  /** Has replaced lanes dropped, without anybody waiting for it. */
  forgetSoon(task: string, config: string, replaced: readonly Lane[]): void {
    if (replaced.length === 0) return;
    this.#options.waitUntil(this.#forget(replaced).then(() => this.#release(task, config)));
  }

  get(task: string, id: string): Result<PushConfigView, Failure> {
    const { store } = this.#options;
    const config = store.exists ? store.configs.get(task, id) : undefined;
    if (!config || config.deleting) {
      const message = "Push notification config not found";
      return err(failure("TASK_NOT_FOUND", { message, metadata: { taskId: task, configId: id } }));
    }
    return ok(this.#view(config));
  }

  list(task: string): PushConfigView[] {
    const configs = this.#options.store.configs.list(task);
    return configs.filter((config) => !config.deleting).map((config) => this.#view(config));
  }

  /** Deletes a config. When it resolves no notification of it is being sent, and none will be. */
  async delete(task: string, id: string, by: By): Promise<void> {
    const { store, now, changed } = this.#options;
    const config = store.exists ? store.configs.get(task, id) : undefined;
    if (!config) return;
    const lanes = this.#lanesOf(config);
    const pending = lanes.filter((lane) => lane.pending);
    const at = now();
    // It is deleted with the first write, and once, however often that is finished.
    let isNews = !config.deleting;
    const record = () => {
      if (isNews) store.record(toConfigEvent("config.deleted", config, lanes[0], by));
    };
    if (pending.length > 0) {
      store.write(() => {
        record();
        store.configs.markDeleting(task, id);
        for (const lane of pending) {
          store.lanes.save({ ...lane, due: null, batch: null, state: "paused", stateAt: at });
        }
      });
      isNews = false;
      await this.#forget(pending);
    }
    store.write(() => {
      // Set again meanwhile: that one stays.
      if (store.configs.get(task, id)?.lane !== config.lane) return;
      record();
      store.configs.delete(task, id);
      for (const lane of lanes) store.lanes.delete(lane.task, lane.lane);
      store.outbox.add([{ kind: "unconfig", task, config: id }, ...droppedItems(pending.length)]);
    });
    changed();
  }

  /** What an agent is told of the webhooks of a task. */
  notificationsOf(task: string, inline: StoredConfig | undefined) {
    const { store, now, allValidated } = this.#options;
    const endpoints = inline ? [inline.endpoint] : [];
    if (store.exists) {
      for (const lane of store.lanes.forTask(task)) {
        if (lane.list === null && lane.state === "active") endpoints.push(lane.endpoint);
      }
    }
    const at = now();
    const isValidated = (endpoint: string) =>
      allValidated || (store.exists && store.configs.isValidated(endpoint, at));
    return {
      configured: endpoints.length > 0,
      validated: endpoints.length > 0 && endpoints.every(isValidated),
    };
  }

  health(config: PushConfig): DeliveryHealth {
    const { store } = this.#options;
    return healthOf(store.journal, config, store.lanes.get(config.task, config.lane));
  }

  #view(config: PushConfig): PushConfigView {
    return { answer: config.answer, health: this.health(config) };
  }

  #lanesOf(config: PushConfig): Lane[] {
    return this.#options.store.lanes.forTask(config.task).filter((lane) => lane.config === config.id);
  }

  /** The new lanes need to wait no longer for the end of those that they replace. */
  #release(task: string, config: string): void {
    const { store, notifications, now } = this.#options;
    const at = now();
    for (const lane of store.lanes.forTask(task)) {
      if (lane.config !== config || lane.due === null || lane.due <= at || lane.attempt > 0) continue;
      const released = { ...lane, due: at };
      store.write(() => store.lanes.save(released));
      notifications.wake(released);
    }
  }

  async #forget(lanes: readonly Lane[]): Promise<void> {
    const { forget, attemptMs, sleep, notifications } = this.#options;
    const dropped = lanes.map(async (lane) => {
      notifications.dropped(lane);
      try {
        await Promise.race([forget(lane.endpoint, lane.lane), sleep(attemptMs)]);
      } catch (error) {
        // Nobody can be asked, so wait until whatever is under way must be over.
        log("warn", "an endpoint could not be told to stop", { error });
        await sleep(attemptMs);
      }
    });
    await Promise.all(dropped);
  }
}

function newLane(stored: StoredConfig, task: string, after: number, now: number): Lane {
  return {
    task,
    lane: stored.lane,
    config: stored.id,
    endpoint: stored.endpoint,
    target: stored.target,
    ids: stored.lane,
    start: after,
    list: null,
    sequence: 0,
    head: after,
    pending: false,
    attempt: 0,
    due: null,
    clockFrom: now,
    state: "active",
    reason: null,
    stateAt: now,
    delivered: 0,
    dead: 0,
    failures: 0,
    failingSince: null,
    lastAt: null,
    lastStatus: null,
    lastError: null,
    batch: null,
  };
}
