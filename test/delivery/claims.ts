// Claims and configs of these tests.

import type { Claim } from "../../src/delivery/exchange.ts";

let made = 0;

/** A claim of a lane of its own, unless more is said. */
export function aClaim(members: Partial<Claim> = {}): Claim {
  made += 1;
  const key = members.key ?? `lane/task-${made}/lane-${made}`;
  return {
    key,
    lanes: [`lane-${made}`],
    id: `msg_${made}`,
    task: `task-${made}`,
    config: "config",
    target: "https://receiver.example/hook",
    url: "https://receiver.example/hook?key=1",
    sequence: 1,
    attempt: 1,
    body: '{"statusUpdate":{}}',
    contentType: "application/a2a+json",
    version: "1.0",
    sealed: null,
    options: {},
    committedAt: 1_000,
    plannedAt: 1_000,
    following: [],
    ...members,
  };
}
