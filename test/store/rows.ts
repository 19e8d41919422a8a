// Rows of the tables of webhooks, as homes ship them, for tests that say only what matters to them.

import type { AttemptRow } from "../../src/store/attempts.ts";
import type { DeadLetter } from "../../src/store/dead-letters.ts";
import type { ConfigRow } from "../../src/store/push-configs.ts";

export function attemptRow(more: Partial<AttemptRow> = {}): AttemptRow {
  return {
    home: "home",
    n: 1,
    owner: "open::owner",
    agent: "echo",
    task: "0-task",
    config: "config",
    origin: "https://hooks.example",
    target: "https://hooks.example/a",
    notification: "msg_1",
    sequence: 1,
    attempt: 1,
    outcome: "delivered",
    status: 200,
    error: null,
    durationMs: 12,
    committedAt: 900,
    plannedAt: 950,
    startedAt: 1_000,
    response: null,
    ...more,
  };
}

export function attemptRows(count: number, more: (i: number) => Partial<AttemptRow>): AttemptRow[] {
  return Array.from({ length: count }, (_, i) => attemptRow({ notification: `msg_${i}`, ...more(i) }));
}

export function configRow(more: Partial<ConfigRow> = {}): ConfigRow {
  return {
    home: "home",
    task: "0-task",
    config: "config",
    owner: "open::owner",
    agent: "echo",
    origin: "https://hooks.example",
    target: "https://hooks.example/a",
    state: "active",
    reason: null,
    createdAt: 1_000,
    updatedAt: 1_000,
    ...more,
  };
}

export function deadLetter(more: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: "msg_1",
    home: "home",
    owner: "open::owner",
    agent: "echo",
    task: "0-task",
    config: "config",
    lane: "lane",
    origin: "https://hooks.example",
    target: "https://hooks.example/a",
    seq: 3,
    sequence: 1,
    reason: "12 attempts failed; the last answered 500",
    error: null,
    status: 500,
    attempts: 12,
    body: '{"statusUpdate":{}}',
    committedAt: 500,
    diedAt: 1_000,
    ...more,
  };
}
