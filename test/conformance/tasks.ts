// What the files of this folder share: tasks in every state, and values taken apart.

import type { Task } from "../../src/protocol/task.ts";
import { type Client, createClient } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

export const MISSING = "0-018f0000-0000-7000-8000-000000000000";
export const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A text that ends the conformance agent's task in each terminal state; cancel does the fourth. */
export const endings = {
  TASK_STATE_COMPLETED: "hello",
  TASK_STATE_FAILED: "throw",
  TASK_STATE_REJECTED: "slow:600001",
  TASK_STATE_CANCELED: "input",
};

export const ended = Object.keys(endings) as (keyof typeof endings)[];

export async function endIn(client: Client, state: keyof typeof endings): Promise<Task> {
  const task = await client.sendForTask(endings[state]);
  return state === "TASK_STATE_CANCELED" ? client.cancel(task.id) : task;
}

export const newClient = () => createClient({ agent: "conformance" });

/** A client of a deployment that serves no webhooks. */
export const withoutPush = () =>
  createClient({ agent: "conformance", fetch: serveWith({ pushNotifications: false }) });

/** Every member of a JSON value, by the name it has. */
export function* members(value: unknown): Generator<[name: string, value: unknown]> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    yield [name, member];
    yield* members(member);
  }
}
