// What callers do with the push notification configs of a task: set, get, list and delete them.
//
// A deletion is over only when no send is under way any more. Until then the config is hidden but its row stays, so
// that a deletion which was cut off can be finished by the next one. For the same reason a config remembers the lanes
// that it had before it was replaced, until their endpoints have dropped them.

import type { DeliveryHealth } from "../delivery/exchange.ts";
import type { PushConfigAnswer, PushConfigView, StoredConfig } from "../delivery/stored-config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import { log } from "../telemetry/log.ts";
import type { By } from "./commands.ts";
import { toConfigEvent } from "./config-event.ts";
import { healthOf } from "./delivery-health.ts";
import { changeFilter } from "./filters.ts";
import type { Lane } from "./lanes.ts";
import type { TaskRecord } from "./machine.ts";
import type { Notifications } from "./notifications.ts";
import { droppedItems } from "./outbox.ts";
import type { LaneRef, PushConfig } from "./push-configs.ts";
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
  /** When nobody could tell an endpoint that a lane is gone, no send of it is under way after so long (ms). */
  unheardMs: number;
  /** Has the endpoint drop a lane; resolves when no send of it is under way. */
  forget(endpoint: string, lane: string): Promise<void>;
  waitUntil(promise: Promise<unknown>): void;
  /** Something is to be shipped. */
  changed(): void;
  sleep(ms: number): Promise<void>;
};

export class PushCommands {
  readonly #options: PushCommandsOptions;
  /** Lanes that are being dropped: nobody is asked twice at once. */
  readonly #dropping = new Map<string, Promise<void>>();

  constructor(options: PushCommandsOptions) {
    this.#options = options;
  }

  /** Sets a config: a new one begins after the newest event, one with a known id replaces that. */
  async set(record: TaskRecord, stored: StoredConfig, by: By): Promise<Result<PushConfigAnswer, Failure>> {
    const { store, changed } = this.#options;
    const refused = this.check(record.id, stored);
    if (refused) return err(refused);
    store.write(() => this.save(record, stored, record.seq, by));
    changed();
    await this.#dropReplaced(record.id, stored.id);
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
   * Writes a config whose notifications begin after journal row `after`; inside a transaction. If it replaces another,
   * what was pending goes to the new one, a little later: sends of the old one may be under way.
   */
  save(record: TaskRecord, stored: StoredConfig, after: number, by: By): void {
    const { store, notifications, now, unheardMs } = this.#options;
    const at = now();
    const { endpoint, target, ...own } = stored;
    // A config has a lane, and a new task has none.
    const hasAny = store.lanes.forTask(record.id).length > 0;
    const known = hasAny ? store.configs.get(record.id, stored.id) : undefined;
    // The call is made again because its answer was lost.
    if (known?.lane === stored.lane && !known.deleting) return;
    const replaced = known ? this.#lanesOf(known) : [];
    const kept = known?.deleting ? [] : replaced;
    if (known?.deleting) store.outbox.add(droppedItems(replaced));
    const before = kept.find((lane) => lane.list === null);
    const config: PushConfig = {
      ...own,
      task: record.id,
      agent: record.agent,
      createdAt: known?.createdAt ?? at,
      deleting: false,
      replaced: [...(known?.replaced ?? []), ...replaced.filter(({ pending }) => pending).map(toRef)],
      filters: known && before ? changeFilter(known, before, stored.events, after) : [],
    };
    for (const lane of replaced) store.lanes.delete(lane.task, lane.lane);
    const fresh = newLane(stored, record.id, after, at);
    const afresh = (lane: Lane, name: string): Lane => ({
      ...lane,
      lane: name,
      endpoint,
      target,
      attempt: 0,
      batch: null,
      // Not before a send of the old one must be over, should nobody be able to say that it is.
      due: lane.pending && lane.state !== "paused" ? at + unheardMs : null,
      clockFrom: at,
      // An operator's pause is the operator's to end.
      ...(lane.state !== "paused" && { state: "active", reason: null, stateAt: at }),
      failures: 0,
      failingSince: null,
    });
    const lane = afresh(before ? this.#refilter(before, stored.events) : fresh, stored.lane);
    store.configs.save(config);
    store.configs.noteEndpoint(endpoint);
    const replays = kept.filter(({ list }) => list).map((replay) => afresh(replay, crypto.randomUUID()));
    for (const made of [lane, ...replays]) {
      store.lanes.insert(made);
      notifications.wake(made);
    }
    store.outbox.add([toConfigItem(config, lane, lane.state, lane.reason, at)]);
    const kind = known?.deleting === false ? "config.replaced" : "config.created";
    store.record(toConfigEvent(kind, config, lane, by));
  }

  /** What is pending may not be wanted any more by a config that asks for other events. */
  #refilter(lane: Lane, events: StoredConfig["events"]): Lane {
    if (!lane.pending) return lane;
    const { journal } = this.#options.store;
    const { value: next } = upcoming(journal, lane, events, lane.head - 1, lane.sequence).next();
    return next ? { ...lane, head: next[0] } : { ...lane, pending: false };
  }

  /** Has replaced lanes dropped, without anybody waiting for it. */
  dropReplacedSoon(task: string, config: string): void {
    const { store, waitUntil } = this.#options;
    if (store.configs.get(task, config)?.replaced.length) waitUntil(this.#dropReplaced(task, config));
  }

  /** Resolves when no send of a lane that a config had before is under way. The new ones need not wait any longer. */
  async #dropReplaced(task: string, id: string): Promise<void> {
    const { store, notifications, now } = this.#options;
    const dropped = store.configs.get(task, id)?.replaced ?? [];
    if (dropped.length === 0) return;
    await this.#drop(dropped);
    const at = now();
    const names = new Set(dropped.map(({ lane }) => lane));
    const released: Lane[] = [];
    store.write(() => {
      const config = store.configs.get(task, id);
      if (!config) return;
      const replaced = config.replaced.filter(({ lane }) => !names.has(lane));
      store.configs.save({ ...config, replaced });
      if (replaced.length > 0) return;
      for (const lane of this.#lanesOf(config)) {
        if (lane.due === null || lane.due <= at || lane.attempt > 0) continue;
        released.push({ ...lane, due: at });
      }
      for (const lane of released) store.lanes.save(lane);
    });
    for (const lane of released) notifications.wake(lane);
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

  /**
   * Deletes a config. When it resolves no notification of it is being sent, and none will be.
   */
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
    const underWay = [...config.replaced, ...pending.map(toRef)];
    if (underWay.length > 0) {
      store.write(() => {
        record();
        store.configs.markDeleting(task, id);
        for (const lane of pending) {
          store.lanes.save({ ...lane, due: null, batch: null, state: "paused", stateAt: at });
        }
      });
      isNews = false;
      await this.#drop(underWay);
    }
    store.write(() => {
      // Set again meanwhile: that one stays.
      if (store.configs.get(task, id)?.lane !== config.lane) return;
      record();
      store.configs.delete(task, id);
      for (const lane of lanes) store.lanes.delete(lane.task, lane.lane);
      store.outbox.add([{ kind: "unconfig", task, config: id }, ...droppedItems(lanes)]);
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
    return healthOf(this.#options.store.journal, config, this.#lanesOf(config));
  }

  #view(config: PushConfig): PushConfigView {
    return { answer: config.answer, health: this.health(config) };
  }

  #lanesOf(config: PushConfig): Lane[] {
    return this.#options.store.lanes.forTask(config.task).filter((lane) => lane.config === config.id);
  }

  /** Resolves when no send of these lanes is under way. */
  async #drop(lanes: readonly LaneRef[]): Promise<void> {
    await Promise.all(
      lanes.map(({ endpoint, lane }) => {
        const running = this.#dropping.get(lane) ?? this.#dropOne(endpoint, lane);
        this.#dropping.set(lane, running);
        return running;
      }),
    );
  }

  async #dropOne(endpoint: string, lane: string): Promise<void> {
    const { forget, unheardMs, sleep, notifications } = this.#options;
    notifications.dropped({ endpoint, lane });
    try {
      await Promise.race([forget(endpoint, lane), sleep(unheardMs)]);
    } catch (error) {
      // Nobody can be asked, so wait until the endpoint has heard of it, or begins nothing, and its sends are over.
      log("warn", "an endpoint could not be told to stop", { error });
      await sleep(unheardMs);
    } finally {
      this.#dropping.delete(lane);
    }
  }
}

function toRef({ endpoint, lane }: Lane): LaneRef {
  return { endpoint, lane };
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
