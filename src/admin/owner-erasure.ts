// The erasure of all that there is of one owner, call by call until there is no more. No call remembers what the others
// did: each revokes, goes through every home that may be, and then through the tables, and finds less than the one
// before. So it does not matter where one was cut off.
//
// Homes come first, because what they have to ship goes to those tables; credentials go last, because a revoked one may
// work for a moment yet where it was used, and what it makes meanwhile has to go, too.

import { requireAdminScope } from "../auth/authorize.ts";
import { endpointName } from "../delivery/exchange.ts";
import {
  eraseHistory,
  eraseIdentity,
  eraseSums,
  originsOf,
  REVOKED_MS,
  revokeCredentials,
} from "../store/erasures.ts";
import { findOwner, subjectOfKeys } from "../store/owners.ts";
import { type AdminDeps, MAX_SHARDS, notFound } from "./deps.ts";
import { ErasedOwner } from "./identity-answers.ts";
import { type AnyRoute, route } from "./routes.ts";

/** A call begins nothing new after this time. */
const CALL_MS = 10_000;
/** Rows of each table that one statement deletes. */
const ROWS = 5_000;
const ORIGINS = 20;
/** What cannot be done now is tried again after so long. */
const AGAIN_SECONDS = 5;

export const ownerErasureRoutes: readonly AnyRoute[] = [
  route({
    verb: "POST",
    path: "/admin/v1/owners/{owner}:erase",
    summary: "Erase all that there is of an owner, but for the audit",
    description:
      "Revokes its keys and sessions, cancels its tasks, and deletes tasks, push notification configs, memories of " +
      "agents, attempts, dead letters, retry jobs that name it or a task of its, and at last keys and sessions. The " +
      "answer counts what this call has deleted; " +
      "while `more` is true call again, after `retryAfterSeconds`. When it is false nothing is left, and no " +
      "notification will be sent. Needs `admin:keys`, too. 404: there is nothing of such an owner.",
    fields: {},
    answer: ErasedOwner,
    async handle(deps, { path: { owner = "" }, operator }) {
      requireAdminScope(operator, "admin:keys");
      const known = await findOwner(deps.db, owner);
      const erased = await erase(deps, owner, operator.actor);
      const { more, retryAfterSeconds: _, ...counts } = erased;
      if (!known && !more && Object.values(counts).every((count) => count === 0)) throw notFound("owner");
      return erased;
    },
  }),
];

async function erase(deps: AdminDeps, owner: string, actor: string): Promise<ErasedOwner> {
  const { db, now, forgetSessions } = deps;
  const begunAt = now();
  const names = { owner, subject: subjectOfKeys(owner) };
  const total = {
    ...{ apiKeys: 0, sessions: 0, tasks: 0, pushConfigs: 0, memories: 0, deliveries: 0, deadLetters: 0 },
    ...{ more: true, retryAfterSeconds: 0 },
  };
  const isLate = () => Math.abs(now() - begunAt) >= CALL_MS;

  const revokedAt = await revokeCredentials(db, names, begunAt);
  forgetSessions((session) => session.owner === owner);

  let isStuck = false;
  for (let shard = 0; shard < MAX_SHARDS; shard++) {
    const name = `${owner}/${shard}`;
    for (let more = true; more; ) {
      if (isLate()) return total;
      // A stub whose connection broke stays broken.
      const home = await deps.homeNamed(name).erase({ name, by: { owner, actor } });
      total.tasks += home.tasks;
      total.pushConfigs += home.configs;
      total.memories += home.memories;
      more = home.more && !home.isStuck;
      isStuck ||= home.isStuck;
    }
  }
  if (isStuck) return { ...total, retryAfterSeconds: AGAIN_SECONDS };

  for (let more = true; more; ) {
    if (isLate()) return total;
    const rows = await eraseHistory(db, owner, ROWS);
    total.deliveries += rows.attempts;
    total.deadLetters += rows.deadLetters;
    more = rows.more;
  }
  for (let origins = await originsOf(db, owner, ORIGINS); origins.length > 0; ) {
    if (isLate()) return total;
    await Promise.all(origins.map((origin) => deps.endpointAt(endpointName(owner, origin)).erase()));
    await eraseSums(db, owner, origins);
    origins = await originsOf(db, owner, ORIGINS);
  }

  // Counted from the beginning of this call: what came before the end of that time has been erased by it.
  const workedMs = revokedAt === undefined ? REVOKED_MS : Math.abs(begunAt - revokedAt);
  if (workedMs < REVOKED_MS) {
    return { ...total, retryAfterSeconds: Math.ceil((REVOKED_MS - workedMs) / 1_000) };
  }
  return { ...total, ...(await eraseIdentity(db, names)) };
}
