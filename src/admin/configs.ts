// Push notification configs, one by one: how deliveries fare, pausing and resuming, a new secret, a replay.
//
// D1 knows which there are; what is asked or changed about one is its home's to answer. A home is asked only about
// configs that D1 knows: any other name would make an object.

import type { Operator } from "../auth/operator.ts";
import type { DeliveryHealth } from "../delivery/exchange.ts";
import {
  MAX_OLDER_SECRETS,
  type PushSecrets,
  rotateSecret,
  sealingContext,
} from "../delivery/push-secrets.ts";
import { open, seal } from "../keys/sealing.ts";
import { encodeBase64 } from "../lib/base64.ts";
import type { Result } from "../lib/result.ts";
import { orThrow } from "../operations/or-throw.ts";
import { A2AError, type Failure } from "../protocol/errors.ts";
import { WebhookSecret } from "../protocol/push-options.ts";
import { type ConfigKey, type ConfigRow, findConfig, searchConfigs } from "../store/push-configs.ts";
import {
  type PushConfig,
  PushConfigList,
  PushConfigStatus,
  Replay,
  RotatedSecret,
} from "./config-answers.ts";
import { type AdminDeps, type HomeOperator, notFound } from "./deps.ts";
import { choice, type Field, integer, invalid, required, text, time } from "./fields.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime, toTimeOrNull } from "./schemas.ts";

const ONE = "/admin/v1/configs/{home}/{task}/{config}";

/** How long the secret before signs too, unless a rotation says so. */
const OVERLAP_SECONDS = 86_400;
const MAX_OVERLAP_SECONDS = 30 * 86_400;
/** Standard Webhooks takes 24 to 64. */
const SECRET_BYTES = 32;

type Path = Readonly<Record<string, string>>;

const secret: Field<string, false> = {
  schema: WebhookSecret,
  json: { type: "string", minLength: 16, maxLength: 512 },
  description: "The new secret. Default: `whsec_` and the base64 of 32 random bytes.",
  required: false,
};

export const configRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/configs",
    summary: "List push notification configs",
    fields: {
      owner: text("Of this owner."),
      origin: text("That lead to this origin."),
      task: text("Of this task."),
      state: choice("In this state.", ["active", "paused", "disabled"]),
      ...pageFields,
    },
    answer: PushConfigList,
    async handle({ db }, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "configs", place: ["string", "string", "string"], values },
        (filter, page) => searchConfigs(db, filter, page),
      );
      return { configs: rows.map(toConfig), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: ONE,
    summary: "See how the deliveries of a config fare",
    fields: {},
    answer: PushConfigStatus,
    handle: (deps, { path }) => withHealth(deps, path, (home, key) => home.deliveryHealth(key)),
  }),
  route({
    verb: "POST",
    path: `${ONE}:pause`,
    summary: "Send no notifications of a config until it is resumed",
    fields: {},
    answer: PushConfigStatus,
    handle: (deps, call) =>
      withHealth(deps, call.path, (home, key, owner) =>
        home.setDelivery({ ...key, by: toBy(owner, call), state: "paused" }),
      ),
  }),
  route({
    verb: "POST",
    path: `${ONE}:resume`,
    summary: "Send the notifications of a config again, also one that was disabled",
    description: "What has gathered meanwhile goes out in order.",
    fields: {},
    answer: PushConfigStatus,
    handle: (deps, call) =>
      withHealth(deps, call.path, (home, key, owner) =>
        home.setDelivery({ ...key, by: toBy(owner, call), state: "active" }),
      ),
  }),
  route({
    verb: "POST",
    path: `${ONE}:rotateSecret`,
    summary: "Give a config a new secret",
    description:
      "Notifications are signed with the new secret and, until the overlap is over, with the one before too. " +
      "This answer is the only one that shows it. " +
      `At most ${MAX_OLDER_SECRETS} older secrets sign at once: one more rotation is refused until one of them has ` +
      "ended, unless `overlapSeconds` is 0, which ends them all.",
    fields: {
      secret,
      overlapSeconds: integer("How long the secret before signs too.", {
        min: 0,
        max: MAX_OVERLAP_SECONDS,
        default: OVERLAP_SECONDS,
      }),
    },
    answer: RotatedSecret,
    handle: (deps, call) => rotate(deps, call),
  }),
  route({
    verb: "POST",
    path: "/admin/v1/replays",
    summary: "Send again what a config received, or should have received, between two times",
    description: "Each notification keeps its `webhook-id` and sequence. New events do not wait for them.",
    fields: {
      home: required(text("The config's home.")),
      task: required(text("Its task.")),
      config: required(text("Its id.")),
      from: required(time("Events that were committed at this time or later.")),
      to: required(time("Events that were committed at this time or earlier.")),
    },
    status: 202,
    answer: Replay,
    async handle(deps, { values: { from, to, ...path }, operator }) {
      if (to < from) throw invalid("to", "must not be before `from`");
      const { row, key, home } = await find(deps, path);
      const by = toBy(row.owner, { operator });
      return orThrow(await home.replay({ ...key, by, from, to }));
    },
  }),
];

async function find(
  { db, homeAt }: AdminDeps,
  { home = "", task = "", config = "" }: Path,
): Promise<{ row: ConfigRow; key: Omit<ConfigKey, "home">; home: HomeOperator }> {
  const row = await findConfig(db, { home, task, config });
  if (!row) throw notFound("config");
  return { row, key: { task, config }, home: homeAt(home) };
}

async function withHealth(
  deps: AdminDeps,
  path: Path,
  ask: (
    home: HomeOperator,
    key: Omit<ConfigKey, "home">,
    owner: string,
  ) => Promise<Result<DeliveryHealth, Failure>>,
): Promise<PushConfigStatus> {
  const { row, key, home } = await find(deps, path);
  const health = orThrow(await ask(home, key, row.owner));
  // D1 hears of a change a moment later.
  return { ...toConfig({ ...row, state: health.state, reason: health.reason }), health: toHealth(health) };
}

type Rotation = { secret?: string | undefined; overlapSeconds?: number | undefined };

async function rotate(
  deps: AdminDeps,
  { path, values, operator }: { path: Path; values: Rotation; operator: Operator },
): Promise<RotatedSecret> {
  const { secret = newSecret(), overlapSeconds = OVERLAP_SECONDS } = values;
  const { row, key, home } = await find(deps, path);
  const { sealed: was } = orThrow(await home.sealedSecrets(key));
  const context = sealingContext(key.task, key.config);
  const secrets = was === null ? {} : await openSecrets(deps, was, context);
  const now = deps.now();
  const rotated = rotateSecret(secrets, { value: secret, now, overlapMs: overlapSeconds * 1_000 });
  if (!rotated.ok) throw tooManySecrets(rotated.error.possibleAt);
  const sealed = await seal(deps.ring, JSON.stringify(rotated.value), context);
  orThrow(await home.rotateSecret({ ...key, by: toBy(row.owner, { operator }), sealed, was }));
  const until = Math.max(0, ...(rotated.value.secrets ?? []).map((older) => older.until ?? 0));
  return { secret, previousValidUntil: until === 0 ? null : toTime(until) };
}

function toBy(owner: string, { operator }: { operator: Operator }) {
  return { owner, actor: operator.actor };
}

function tooManySecrets(possibleAt: number): A2AError {
  const message =
    `The current secret and ${MAX_OLDER_SECRETS} older ones sign, which are as many as may: rotate from ` +
    `${toTime(possibleAt)} on, when enough have ended, or with overlapSeconds 0, which ends all older ones.`;
  return new A2AError("UNSUPPORTED_OPERATION", { message });
}

async function openSecrets({ ring }: AdminDeps, sealed: string, context: string): Promise<PushSecrets> {
  const plain = await open(ring, sealed, context);
  if (plain.ok) return JSON.parse(plain.value) as PushSecrets;
  // The other secrets of the config would be lost with a new one.
  throw new A2AError("UNSUPPORTED_OPERATION", {
    message: "The secrets of this config cannot be decrypted: no key of ENCRYPTION_KEYS fits.",
  });
}

function newSecret(): string {
  return `whsec_${encodeBase64(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))}`;
}

function toConfig(row: ConfigRow): PushConfig {
  return { ...row, createdAt: toTime(row.createdAt), updatedAt: toTime(row.updatedAt) };
}

function toHealth(health: DeliveryHealth): PushConfigStatus["health"] {
  return {
    ...health,
    stateAt: toTimeOrNull(health.stateAt),
    oldestPendingAt: toTimeOrNull(health.oldestPendingAt),
    nextAttemptAt: toTimeOrNull(health.nextAttemptAt),
    failingSince: toTimeOrNull(health.failingSince),
    lastAttemptAt: toTimeOrNull(health.lastAttemptAt),
  };
}
