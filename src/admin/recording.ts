// What the audit is told of an operator's request.
//
// It is recorded before it is done: what cannot be recorded is not done. The other way round an operator could act in the
// moment in which nothing can be written. So an entry says what was asked for; one that failed then is there too.

import type { AuditEvent } from "../audit/entry.ts";
import type { Operator } from "../auth/operator.ts";
import { A2AError } from "../protocol/errors.ts";
import { log } from "../telemetry/log.ts";
import type { AdminDeps } from "./deps.ts";
import type { AnyRoute } from "./routes.ts";

/** Fields that are names, times and numbers. Any other may be a secret, and is left out. */
const SAFE: ReadonlySet<string> = new Set([
  ...["home", "owner", "agent", "task", "config", "origin", "name", "roles", "scopes", "actor", "state"],
  ...["from", "to", "status", "error", "expiresAt", "overlapSeconds"],
]);
/** Of one value: lists of scopes may be long. */
const MAX_VALUE = 512;

type Asked = {
  operator: Operator;
  route: AnyRoute;
  path: Readonly<Record<string, string>>;
  values: Readonly<Record<string, unknown>>;
};

/** Records a request that changes something; UNAVAILABLE if that is not possible now. */
export async function recordRequest({ audit }: AdminDeps, asked: Asked): Promise<void> {
  try {
    await audit.record(toEvent("operator.request", asked, detailOf(asked)));
  } catch (error) {
    log("error", "an operator's request is refused, because the audit cannot be written", { error });
    const message = "Nothing is changed while it cannot be recorded; try again.";
    throw new A2AError("UNAVAILABLE", { message, retryAfterSeconds: 2 });
  }
}

/** Records the id of what a request has made, if it was not there before it. */
export async function recordMade({ audit }: AdminDeps, asked: Asked, answer: unknown): Promise<void> {
  const { id } = answer as { id?: unknown };
  if (typeof id !== "string" || asked.path.id !== undefined) return;
  try {
    await audit.record(toEvent("operator.made", asked, { id }));
  } catch (error) {
    // It is done, and the audit knows who asked for it.
    log("error", "what an operator has made could not be recorded", { id, error });
  }
}

function toEvent(
  kind: AuditEvent["kind"],
  { operator, route, path, values }: Asked,
  detail: Readonly<Record<string, string | number>>,
): AuditEvent {
  const { owner, task, config } = { ...values, ...path };
  return {
    kind,
    actor: operator.actor,
    ...(typeof owner === "string" && { owner }),
    ...(typeof task === "string" && { task }),
    ...(typeof config === "string" && { config }),
    detail: { verb: route.verb, path: route.path, ...detail },
  };
}

function detailOf({ path, values }: Asked): Record<string, string | number> {
  const safe = Object.entries(values).filter(([name, value]) => SAFE.has(name) && value !== undefined);
  // The names of the route itself are not a request's to choose.
  const named = [...safe, ...Object.entries(path)].filter(([name]) => name !== "path" && name !== "verb");
  return Object.fromEntries(
    named.map(([name, value]) => [
      name,
      typeof value === "number" ? value : String(value).slice(0, MAX_VALUE),
    ]),
  );
}
