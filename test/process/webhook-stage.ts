// One server with short schedules, and what a test of webhooks does with it: tasks with a config, and what became of
// their notifications.

import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { call, type Task } from "./client.ts";
import { createStateDir, removeStateDir, type Server, startServer } from "./server.ts";
import { createOperator, type DeadLetter, type Delivery, type Operator } from "./webhook-operator.ts";

/** Of a config, as its owner sees it: the extension's member of what Get answers. */
export type Health = {
  state: "active" | "paused" | "disabled";
  reason?: string;
  pending: number;
  attempt: number;
  delivered: number;
  dead: number;
  nextAttemptAt?: string;
  lastStatus?: number;
  lastError?: string;
};

/** All that became of one notification. */
export type History = {
  id: string;
  attempts: (Delivery & { response: string | null })[];
  deadLetter: DeadLetter | null;
};

export type Stage = {
  url: string;
  stateDir: string;
  server: Server;
  operator: Operator;
  /** Sends a message; answers with the task. */
  send(text: string, config?: object, agent?: string): Promise<Task>;
  /** Creates, or replaces, the config of a task. */
  configure(taskId: string, config: object): Promise<unknown>;
  remove(taskId: string, id: string): Promise<unknown>;
  health(taskId: string, id: string): Promise<Health>;
  /** Resolves with the history of a task's notifications when none of a config is pending, in the order of sequence. */
  settled(taskId: string, id: string): Promise<History[]>;
  /** Ends the server, and removes what it has kept unless it is to be started again. */
  close(options?: { keep: boolean }): Promise<void>;
};

const EXTENSION = "https://a2a-edge.dev/extensions/webhooks/v1";
const SETTLE_MS = 60_000;

/** Starts a server; `ca` in PEM is one more authority that it trusts. */
export async function startStage(
  vars: Record<string, string>,
  { ca, stateDir: given }: { ca?: string; stateDir?: string } = {},
): Promise<Stage> {
  const stateDir = given ?? (await createStateDir());
  const trusted: Record<string, string> = {};
  if (ca !== undefined) {
    trusted.NODE_EXTRA_CA_CERTS = join(stateDir, "ca.pem");
    await writeFile(trusted.NODE_EXTRA_CA_CERTS, ca);
  }
  const common = { DEFAULT_AGENT: "conformance", WEBHOOK_CHALLENGE: "off" };
  const server = await startServer({ mode: "serve", stateDir, vars: { ...common, ...vars, ...trusted } });
  const { url } = server;
  const operator = await createOperator(url, stateDir);

  const health = async (taskId: string, id: string) => {
    const headers = { "a2a-extensions": EXTENSION };
    const method = "GetTaskPushNotificationConfig";
    const config = await call<{ delivery: Health }>({ url, method, params: { taskId, id }, headers });
    return config.delivery;
  };
  const historyOf = async (task: string, config: string) => {
    const rows = await operator.deliveries({ task, config });
    const ids = new Set(
      rows.toSorted((a, b) => a.sequence - b.sequence).map(({ notification }) => notification),
    );
    return Promise.all([...ids].map((id) => operator.get<History>(`/admin/v1/notifications/${id}`)));
  };
  return {
    url,
    stateDir,
    server,
    operator,
    health,
    async send(text, config, agent = "") {
      const params = {
        message: { messageId: randomUUID(), role: "ROLE_USER", parts: [{ text }] },
        configuration: { returnImmediately: true, ...(config && { taskPushNotificationConfig: config }) },
      };
      return (await call<{ task: Task }>({ url, agent, method: "SendMessage", params })).task;
    },
    configure: (taskId, config) =>
      call({ url, method: "CreateTaskPushNotificationConfig", params: { taskId, ...config } }),
    remove: (taskId, id) => call({ url, method: "DeleteTaskPushNotificationConfig", params: { taskId, id } }),
    async settled(taskId, id) {
      const deadline = Date.now() + SETTLE_MS;
      for (;;) {
        const { pending, delivered, dead } = await health(taskId, id);
        const history = pending === 0 && delivered + dead > 0 ? await historyOf(taskId, id) : [];
        // The history, and the dead letters, come some seconds later.
        const told = history.filter(
          ({ attempts, deadLetter }) =>
            attempts.at(-1)?.outcome === "delivered" || attempts.length === deadLetter?.attempts,
        );
        if (delivered + dead > 0 && told.length === delivered + dead) return history;
        if (Date.now() > deadline) {
          throw new Error(`not settled: ${JSON.stringify({ pending, delivered, dead, history })}`);
        }
        await sleep(200);
      }
    },
    async close({ keep } = { keep: false }) {
      await server.stop();
      if (!keep) await removeStateDir(stateDir);
    },
  };
}
