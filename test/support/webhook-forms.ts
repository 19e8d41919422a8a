// The forms that tests of notifications are made of: times, configs, and what an endpoint says of an attempt.

import { type Claim, type Settlement, STANDS_MS } from "../../src/delivery/exchange.ts";
import type { StoredConfig } from "../../src/delivery/stored-config.ts";

/** When each stage begins. */
export const START = Date.UTC(2026, 0, 1);

export const HOME = "home-1";
export const OWNER = "anonymous";
export const ENDPOINT = `${OWNER}|https://receiver.test`;
export const URL_1 = "https://receiver.test/hook";

export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 86_400_000;

export const ATTEMPT_MS = 15_000;
export const UNHEARD_MS = STANDS_MS + ATTEMPT_MS;
export const LEASE_MS = 30_000;
/** The deployment's own. */
export const RETRY_MS = [0, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(
  (seconds) => seconds * SECOND,
);

export const forever: Promise<never> = new Promise(() => {});

let names = 0;

/** Lets names begin anew: they are used in orders, and a run that is repeated must find the same. */
export function resetNames(): void {
  names = 0;
}

/** A name that no other on this stage is. */
export function newName(kind: string): string {
  names += 1;
  return `${kind}${names}`;
}

/** A config as `prepareConfig` makes it, of a task that has none with this id. */
export function configOf(task: string, own: Partial<StoredConfig> = {}): StoredConfig {
  const { url = URL_1, id = "main" } = own;
  const { origin, pathname } = new URL(url);
  return {
    id,
    lane: newName("lane"),
    endpoint: `${OWNER}|${origin}`,
    target: `${origin}${pathname}`,
    url,
    version: "1.0",
    events: null,
    batch: null,
    retryMs: null,
    sealed: null,
    options: {},
    answer: { url, id, taskId: task },
    ...own,
  };
}

type More = Partial<Omit<Settlement, "key" | "id" | "attempt" | "outcome">>;

/** What an endpoint says of an attempt that began now. */
export function settlementOf(claim: Claim, outcome: Settlement["outcome"], more: More = {}): Settlement {
  const { key, id, attempt } = claim;
  return { key, id, attempt, outcome, startedAt: Date.now(), durationMs: 20, ...more };
}

export const delivered = (claim: Claim) => settlementOf(claim, "delivered", { status: 200 });
export const failed = (claim: Claim, more?: More) => settlementOf(claim, "retry", { status: 500, ...more });
export const released = (claim: Claim) => settlementOf(claim, "released", { startedAt: 0, durationMs: 0 });

/** Whoever acts on the stage. */
export const BY = { owner: "open::anonymous", actor: "open::somebody" };
