// What clients do with webhooks beside their other work: most messages bring one, jobs get one while they run, some
// are replaced and some deleted again. What a dead server did not answer is asked of the next one.

import { setTimeout as sleep } from "node:timers/promises";
import { call, Lost } from "./client.ts";
import type { Intent, TrackedTask } from "./ledger.ts";
import type { Action, Life, Send, Sideline } from "./load.ts";
import type { Random } from "./random.ts";
import type { TrackedConfig, WebhookLedger } from "./webhook-ledger.ts";

/** A receiver, as configs name it. */
export type Webhook = {
  name: string;
  /** How often it is chosen, compared with the others. */
  weight: number;
  endsOnly: boolean;
  /** The config without its id and task. */
  config: { url: string };
};

/** Few, so that what is replaced or deleted is likely to be under way. */
const RECENT = 8;

export class WebhookLoad implements Sideline {
  readonly #ledger: WebhookLedger;
  readonly #random: Random;
  readonly #hat: readonly Webhook[];
  readonly #recent: TrackedTask[] = [];
  readonly #cutOff: ((life: Life) => Promise<void>)[] = [];
  /** How often something was done. */
  readonly count = { inline: 0, later: 0, replaced: 0, deleted: 0, repeated: 0 };

  constructor(ledger: WebhookLedger, random: Random, webhooks: readonly Webhook[]) {
    this.#ledger = ledger;
    this.#random = random;
    this.#hat = webhooks.flatMap((webhook) => Array.from({ length: webhook.weight }, () => webhook));
  }

  configuration(): object {
    if (this.#random.chance(0.2)) return {};
    const { name, config } = this.#random.pick(this.#hat);
    return { taskPushNotificationConfig: { id: name, ...config } };
  }

  acknowledged(task: TrackedTask, configuration: object, since: number): void {
    if (this.#recent.push(task) > RECENT) this.#recent.shift();
    const { taskPushNotificationConfig: inline } = configuration as {
      taskPushNotificationConfig?: { id: string };
    };
    const webhook = this.#hat.find(({ name }) => name === inline?.id);
    if (!webhook) return;
    const { name, endsOnly } = webhook;
    const config = this.#ledger.ask(task, name, { isInline: true, endsOnly, at: since });
    config.acknowledgedAt ??= Date.now();
    this.count.inline += 1;
  }

  actions(life: Life, send: Send): Action[] {
    return [
      [8, () => this.#configureLater(life, send)],
      [3, () => this.#deleteRecent(life)],
      [3, () => this.#replaceRecent(life)],
    ];
  }

  takeUp(life: Life): (() => Promise<unknown>)[] {
    return this.#cutOff.splice(0).map((request) => () => {
      this.count.repeated += 1;
      return request(life);
    });
  }

  /** A job that is given a webhook while it runs, which may not be wanted for long. */
  async #configureLater(life: Life, send: Send): Promise<void> {
    const count = this.#random.whole(5, 20);
    const text = `Run a job of ${count} steps`;
    const intent: Intent = { agent: "long-running", text, becomes: "job", count };
    const task = await send(intent, { returnImmediately: true });
    await sleep(this.#random.whole(0, 300));
    const { name, endsOnly } = this.#random.pick(this.#hat);
    if (this.#configOf(task, name)) return;
    const config = this.#ledger.ask(task, name, { isInline: false, endsOnly, at: Date.now() });
    await this.#create(life, config);
    this.count.later += 1;
    await sleep(this.#random.whole(0, 300));
    if (this.#random.chance(0.4) && isIdle(config)) await this.#delete(life, config);
  }

  async #deleteRecent(life: Life): Promise<void> {
    const config = this.#recentConfig();
    if (config) await this.#delete(life, config);
  }

  /** By one with the same URL, so that what is pending goes on. */
  async #replaceRecent(life: Life): Promise<void> {
    const config = this.#recentConfig();
    if (!config) return;
    config.replacedAt.push(Date.now());
    config.acknowledgedAt = undefined;
    await this.#create(life, config);
    this.count.replaced += 1;
  }

  #recentConfig(): TrackedConfig | undefined {
    const configs = this.#recent.flatMap((task) =>
      this.#hat.flatMap(({ name }) => this.#configOf(task, name) ?? []),
    );
    const idle = configs.filter(isIdle);
    return idle.length === 0 ? undefined : this.#random.pick(idle);
  }

  #configOf(task: TrackedTask, receiver: string): TrackedConfig | undefined {
    return this.#ledger.configOf(receiver, task.id);
  }

  async #create(life: Life, config: TrackedConfig): Promise<void> {
    const { task, receiver } = config;
    const webhook = this.#hat.find(({ name }) => name === receiver);
    const params = { taskId: task.id, id: receiver, ...webhook?.config };
    await this.#ask(life, config, "CreateTaskPushNotificationConfig", params, (next) => {
      // It may be there already, and is then replaced.
      config.replacedAt.push(Date.now());
      return this.#create(next, config);
    });
    config.acknowledgedAt = Date.now();
  }

  async #delete(life: Life, config: TrackedConfig): Promise<void> {
    const { task, receiver } = config;
    config.deleteAskedAt ??= Date.now();
    const params = { taskId: task.id, id: receiver };
    await this.#ask(life, config, "DeleteTaskPushNotificationConfig", params, (next) =>
      this.#delete(next, config),
    );
    this.#ledger.deleted(config);
    this.count.deleted += 1;
  }

  async #ask(
    { url, over }: Life,
    { task }: TrackedConfig,
    method: string,
    params: object,
    repeat: (life: Life) => Promise<void>,
  ): Promise<void> {
    try {
      await call({ url, agent: task.intent.agent, signal: over, method, params });
    } catch (error) {
      if (error instanceof Lost) this.#cutOff.push(repeat);
      throw error;
    }
  }
}

/** Whether it is there and nobody is about to change it. */
function isIdle({ acknowledgedAt, deleteAskedAt }: TrackedConfig): boolean {
  return acknowledgedAt !== undefined && deleteAskedAt === undefined;
}
