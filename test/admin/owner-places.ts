// Every place where this server keeps something, and what an erasure and an export of an owner do there. A table or a
// binding that is not in this list fails owner-places.test.ts until somebody has decided.

import type { OriginState } from "../../src/delivery/endpoint-state.ts";

/** `erased`: the condition of an owner's rows, `?1` being the owner; `exported`: the kind of their lines. */
export type Place = ({ erased: string } | { stays: string }) & ({ exported: string } | { left: string });

const OF_OWNER = "owner = ?1";
/** In a home, all of it is one owner's. */
const ALL = "true";

const NAMES_NOBODY = "it names nobody";
const OPERATORS = "it says what operators did";
const AUDIT = { stays: "a chain with a hole proves nothing", left: "it has an export of its own" };

const database: Record<string, Place> = {
  api_keys: { erased: "'key::' || owner = ?1", exported: "apiKey" },
  attempt_hours: { stays: NAMES_NOBODY, left: NAMES_NOBODY },
  attempts: { erased: OF_OWNER, exported: "delivery" },
  audit: AUDIT,
  audit_anchors: AUDIT,
  audit_inbox: { stays: "it goes into the audit within moments", left: AUDIT.left },
  dead_letters: { erased: OF_OWNER, exported: "deadLetter" },
  endpoint_hours: { erased: OF_OWNER, left: "sums of deliveries" },
  endpoints: { erased: OF_OWNER, left: "sums of push configs" },
  erasures: { erased: OF_OWNER, left: "it is there while the owner is erased" },
  flags: { stays: OPERATORS, left: OPERATORS },
  homes: { erased: "name LIKE ?1 || '/%'", left: "what they hold is exported" },
  owners: { erased: OF_OWNER, exported: "owner" },
  push_configs: { erased: OF_OWNER, exported: "task" },
  retry_jobs: { erased: "filter ->> 'owner' = ?1", left: OPERATORS },
  roles: { stays: NAMES_NOBODY, left: NAMES_NOBODY },
  sessions: { erased: OF_OWNER, exported: "session" },
  ships: { stays: "a home that returns goes on counting where it was", left: "numbers of shipments" },
};

const home: Record<string, Place> = {
  audit: AUDIT,
  batches: { erased: ALL, left: "what they are made of is exported" },
  configs: { erased: ALL, exported: "task" },
  dead: { erased: ALL, left: "it becomes a dead letter within moments" },
  due: { erased: "kind <> 'erased'", left: "when the home has to do something" },
  idempotency: { erased: ALL, left: "answers that whoever has the key is given again, for a day" },
  journal: { erased: ALL, exported: "task" },
  lanes: { erased: ALL, exported: "task" },
  memory: { erased: ALL, exported: "memory" },
  outbox: { erased: ALL, left: "it becomes deliveries within moments" },
  reports: { erased: ALL, left: "keys by which a report that comes twice is known" },
  schema_version: { stays: NAMES_NOBODY, left: NAMES_NOBODY },
  tasks: { erased: ALL, exported: "task" },
  validated: { erased: ALL, left: "what a receiver has echoed" },
};

/** A row holds one of these, or several. */
const endpoint: Record<keyof OriginState | "target", Place> = {
  challenge: { erased: ALL, left: "how a receiver fares" },
  pausedAt: { stays: OPERATORS, left: OPERATORS },
  resumedAt: { stays: OPERATORS, left: OPERATORS },
  pausedHomes: { stays: "they are rung when the operator resumes", left: OPERATORS },
  target: { erased: ALL, left: "how a receiver fares" },
  validatedUntil: { erased: ALL, left: "what a receiver has echoed" },
};

export const places = { database, home, endpoint };

/** What else there is, by the binding of wrangler.toml, with its tables. */
export const others: Record<string, { tables?: readonly string[]; stays: string }> = {
  AUDIT: { tables: ["audit", "collected", "minutes"], stays: AUDIT.stays },
  DEAD_LETTERS: { stays: "the platform keeps messages for days: ids, no content" },
  DELIVERIES: { stays: "the platform keeps messages for days: ids, owner and origin, no content" },
  JOBS: { stays: "the platform keeps instances that have ended until its own retention is over" },
  LIMITS: { tables: [], stays: NAMES_NOBODY },
  METRICS: { tables: ["sources", "totals"], stays: NAMES_NOBODY },
};

export const kindsOf = (list: Record<string, Place>): string[] =>
  Object.values(list).flatMap((place) => ("exported" in place ? [place.exported] : []));
