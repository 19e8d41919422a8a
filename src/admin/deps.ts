// What the operators' API stands on, and how it asks homes: what it knows of them, it knows from D1.

import type { AuditTail } from "../audit/chain.ts";
import type { AuditEvent } from "../audit/entry.ts";
import type { RequireOperator } from "../auth/operator.ts";
import type { Config } from "../config.ts";
import type { ChallengeResult } from "../delivery/challenge.ts";
import type { EndpointHealth } from "../delivery/endpoint.ts";
import type { DeliveryHealth } from "../delivery/exchange.ts";
import type { KeyRing } from "../keys/ring.ts";
import type { Result } from "../lib/result.ts";
import { A2AError, type Failure } from "../protocol/errors.ts";
import type { DeadLetter } from "../store/dead-letters.ts";
import type { Session } from "../store/sessions.ts";
import type { Death } from "../tasks/dead-letters.ts";
import type { Erased, Erasure } from "../tasks/erase.ts";
import type { ExportPage, ExportPlace } from "../tasks/export.ts";

/** There never are more homes of an owner, whatever HOME_SHARDS says or has said. */
export const MAX_SHARDS = 64;

type ConfigOfTask = { task: string; config: string };

type DeadQuery = ConfigOfTask & { seq: number; sequence: number };

/** Which operator acts, and on whose things: see tasks/commands. */
type By = { owner: string; actor: string };

/** A home as operators see it. Plain data in and out, as it goes over RPC. */
export type HomeOperator = {
  /** Those of the letters that the home still keeps. */
  deadLetters(ids: string[]): Promise<DeadLetter[]>;
  /** What it holds of its owner, page by page. */
  exportPage(place: ExportPlace | undefined): Promise<ExportPage>;
  /** Erases some of what it holds of its owner. */
  erase(erasure: Erasure): Promise<Erased>;
  /** These deaths are in D1 now. The ids of those that were erased meanwhile, and have to leave it again. */
  deadFiled(deaths: Death[]): Promise<string[]>;
  /** Gives dead notifications another life; `gone` are those whose config or task exists no more. */
  retryDead(letters: DeadQuery[], by: By): Promise<Result<{ accepted: number; gone: DeadQuery[] }, Failure>>;
  /** Sends again what was committed between two times (ms, both inclusive). */
  replay(
    query: ConfigOfTask & { by: By; from: number; to: number },
  ): Promise<Result<{ notifications: number }, Failure>>;
  setDelivery(
    query: ConfigOfTask & { by: By; state: "active" | "paused" },
  ): Promise<Result<DeliveryHealth, Failure>>;
  /** What of the home's audit follows entry `n`, as far as it was not shipped. */
  auditTail(n: number): Promise<AuditTail>;
  deliveryHealth(query: ConfigOfTask): Promise<Result<DeliveryHealth, Failure>>;
  sealedSecrets(query: ConfigOfTask): Promise<Result<{ sealed: string | null }, Failure>>;
  /** Refused when the secrets are no longer those that were read (`was`). */
  rotateSecret(
    query: ConfigOfTask & { by: By; sealed: string; was: string | null },
  ): Promise<Result<void, Failure>>;
};

/** An EndpointObject as operators see it. */
export type EndpointOperator = {
  health(): Promise<EndpointHealth>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  challengeNow(url: string, fresh: boolean): Promise<ChallengeResult>;
  /** Forgets tokens and the state of all URLs; a pause stays. */
  erase(): Promise<void>;
};

/** A message in the queue of deliveries: the next chunk of this job may be retried. It is never the only copy. */
export type RetryJobMessage = { kind: "retry-job"; id: string };

/** What the work needs that goes on without a request. */
export type WorkDeps = {
  db: D1Database;
  /** The home with this Durable Object id; throws if it is none. */
  homeAt(id: string): HomeOperator;
  /** Sends to the queue of deliveries. */
  wakeJob(message: RetryJobMessage): Promise<unknown>;
  now(): number;
};

/** The audit of administration: see audit/audit-object. */
export type AdminAudit = {
  record(event: AuditEvent): Promise<void>;
  auditTail(n: number): Promise<AuditTail>;
};

export type AdminDeps = WorkDeps & {
  audit: AdminAudit;
  /** As the deployment sets it, whatever is switched off. */
  config: Config;
  /** Has this isolate read the flags again. */
  flagsChanged(): void;
  /** The EndpointObject of this name: see `endpointName` of delivery/exchange. */
  endpointAt(name: string): EndpointOperator;
  /** The home of this name, `owner/shard`. */
  homeNamed(name: string): HomeOperator;
  ring: KeyRing;
  requireOperator: RequireOperator;
  /** Has this isolate look again for sessions that were revoked. */
  forgetSessions(fits: (session: Session) => boolean): void;
};

export function notFound(what: string): A2AError {
  return new A2AError("NOT_FOUND", { message: `There is no such ${what}.` });
}
