// An entry of the audit as text, whose bytes are hashed: docs/audit.md tells somebody else how to verify it.
//
// An entry's line is one JSON object that ends with its hash, and the hash is over the line up to there. So there is
// no canonical form to agree on: what is hashed is what is stored, shipped and exported, byte for byte.

import { hash } from "node:crypto";
import type { InboxKind } from "../store/audit-inbox.ts";

export type AuditKind =
  | "task.created"
  /** A follow-up: detail.state says what the task was waiting for. */
  | "task.continued"
  | "task.canceled"
  /** A follow-up that decides about detail.tool, in place of task.continued. */
  | "tool.approved"
  | "tool.denied"
  | "config.created"
  | "config.replaced"
  | "config.deleted"
  /** By operators. */
  | "config.paused"
  | "config.resumed"
  | "config.replayed"
  | "config.retried"
  | "config.secret_rotated"
  /** What an operator has asked for, before it is done: detail.verb and detail.path are the route. */
  | "operator.request"
  /** The id of what the request has made. */
  | "operator.made"
  /** Told in the database: by callers of their sessions, and of keys that are made outside of the server. */
  | InboxKind
  /** The queue's consumer could not ring so many endpoints (detail.count); nobody did it. */
  | "doorbells.failed"
  /** How many in one minute; detail.reason says why. */
  | "authentication.refused"
  | "authorization.refused";

/** What has happened, in ids and numbers: never what a client has said, and never a URL beyond its origin. */
export type AuditEvent = {
  kind: AuditKind;
  /** Whose things it was about. */
  owner?: string;
  /** Who did it; absent: a stranger. */
  actor?: string;
  agent?: string;
  task?: string;
  config?: string;
  detail?: Readonly<Record<string, string | number>>;
};

/** Its place in a chain. Times in ms. */
export type AuditEntry = {
  /** Durable Object id of the home that keeps it, or the name of a chain that is no home's. */
  chain: string;
  /** 1 for the first of a chain. */
  n: number;
  /** When; never before that of the entry before. */
  at: number;
  /** `at` of the entry before, which may have been trimmed; 0: there was none. */
  since: number;
  /** An AuditEvent as JSON. */
  body: string;
  /** 64 hexadecimal digits. */
  hash: string;
};

/** Where a chain ends: what the next entry must follow. */
export type Head = Pick<AuditEntry, "n" | "at" | "hash">;

/** What the first entry of a chain follows. */
export const NOTHING: Head = { n: 0, at: 0, hash: "0".repeat(64) };

/** The entry that follows `head`. */
export function follow(chain: string, head: Head, event: AuditEvent, now: number): AuditEntry {
  const entry = {
    chain,
    n: head.n + 1,
    at: Math.max(now, head.at),
    since: head.at,
    body: JSON.stringify(event),
  };
  return { ...entry, hash: hashOf(entry, head.hash) };
}

/** SHA-256 of the hash before, a line feed, and the line up to its own hash. */
export function hashOf(entry: Omit<AuditEntry, "hash">, previous: string): string {
  // Web Crypto answers later, and a transaction does not wait.
  return hash("sha256", `${previous}\n${unhashed(entry)}`);
}

/** The entry as one line of JSON, without a line feed. */
export function toLine(entry: AuditEntry): string {
  return `${unhashed(entry)},"hash":"${entry.hash}"}`;
}

/** The line up to its hash: the members of the place, then those of the event. */
function unhashed({ chain, n, at, since, body }: Omit<AuditEntry, "hash">): string {
  return `{"chain":${JSON.stringify(chain)},"n":${n},"at":${at},"since":${since},${body.slice(1, -1)}`;
}
