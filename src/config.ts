// The settings of a deployment: the vars of wrangler.toml, parsed once an isolate into a frozen Config.
//
// A wrong value never becomes a default: the Worker then answers every request with 500 and the log
// names the setting. `npm run deploy` runs the same function before it deploys.

import * as z from "zod/mini";
import { type Issuer, parseIssuers } from "./issuers.ts";
import { err, ok, type Result } from "./lib/result.ts";

const integer = (min: number, max: number) =>
  z.pipe(
    z.string("must be set").check(z.regex(/^\d{1,15}$/, `must be a whole number from ${min} to ${max}`)),
    z.pipe(
      z.transform(Number),
      z.number().check(z.gte(min, `must be at least ${min}`), z.lte(max, `must be at most ${max}`)),
    ),
  );

const flag = z.pipe(
  z.enum(["true", "false"], 'must be "true" or "false"'),
  z.transform((text) => text === "true"),
);

const list = z.pipe(
  z.string("must be set"),
  z.transform((text) =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  ),
);

const integers = (min: number, max: number) =>
  z.pipe(
    list,
    z.pipe(
      z.transform((items: string[]) => items.map((item) => (/^\d{1,15}$/.test(item) ? Number(item) : -1))),
      z
        .array(z.number())
        .check(
          z.refine(
            (values) => values.length > 0 && values.every((value) => value >= min && value <= max),
            `must be whole numbers from ${min} to ${max}, separated by commas`,
          ),
        ),
    ),
  );

const publicUrl = z
  .string()
  .check(
    z.refine(
      (text) => text === "" || isOrigin(text),
      "must be empty or an origin such as https://agents.example.com",
    ),
  );

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  // A host may hold a star, which stands for nothing.
  return url?.origin === text && url.protocol.startsWith("http") && !text.includes("*");
}

function isHttpsUrl(text: string): boolean {
  return URL.parse(text)?.protocol === "https:";
}

const CLOSED_MODES = ["api-key", "jwt"];

/** `open` is for everybody, so it cannot stand beside a mode that is not. */
function areModes(modes: string[]): boolean {
  if (modes.length === 1 && modes[0] === "open") return true;
  const isClosed = modes.length > 0 && modes.every((mode) => CLOSED_MODES.includes(mode));
  return isClosed && new Set(modes).size === modes.length;
}

const origins = z.pipe(
  list,
  z
    .array(z.string())
    .check(
      z.refine(
        (items) => items.every((item) => item === "*" || isOrigin(item)),
        "must be origins such as https://app.example.com, separated by commas, or *",
      ),
    ),
);

const hostNames = z.pipe(
  list,
  z
    .array(z.string())
    .check(
      z.refine(
        (items) => items.every((item) => item === "*" || URL.parse(`http://${item}/`)?.host === item),
        "must be host names without port, separated by commas, or *",
      ),
    ),
);

const Vars = z.object({
  ENVIRONMENT: z.enum(["development", "production"], 'must be "development" or "production"'),
  AUTH_MODE: z.pipe(
    list,
    z.array(z.string()).check(z.refine(areModes, 'must be "open", or one or both of "api-key" and "jwt"')),
  ),
  // JSON, which is read when all else is right.
  JWT_ISSUERS: z.string("must be set"),
  DEFAULT_AGENT: z.string("must be set").check(z.minLength(1, "must name an agent")),
  PUBLIC_URL: publicUrl,
  CORS_ORIGINS: origins,
  ALLOWED_HOSTS: hostNames,
  ADDRESS_GUESSES: integer(0, 10_000),
  ADDRESS_FAILURES_PER_MINUTE: integer(0, 1_000_000),
  CALLER_SENDS_PER_MINUTE: integer(0, 1_000_000),
  CALLER_READS_PER_MINUTE: integer(0, 1_000_000),
  CALLER_PUSH_CONFIGS_PER_MINUTE: integer(0, 1_000_000),
  CALLER_BURST_SECONDS: integer(1, 600),
  CALLER_STREAMS: integer(0, 100_000),
  CALLER_WAITING_SENDS: integer(0, 100_000),
  OWNER_TURNS: integer(0, 100_000),
  HOME_SHARDS: integer(1, 64),
  STREAMING: flag,
  PUSH_NOTIFICATIONS: flag,
  EXTENDED_CARD: flag,
  DEFAULT_CARD_VERSION: z.enum(["1.0", "0.3"], 'must be "1.0" or "0.3"'),
  REQUIRED_EXTENSIONS: list,
  MAX_BODY_BYTES: integer(1_024, 16_777_216),
  MAX_JSON_DEPTH: integer(8, 256),
  MAX_PARTS: integer(1, 100_000),
  // A task leaves its home in one RPC value, which holds at most 32 MiB.
  MAX_TASK_BYTES: integer(65_536, 16_777_216),
  TASK_RETENTION_DAYS: integer(1, 3_650),
  TURN_TIMEOUT_SECONDS: integer(1, 3_600),
  JOB_WATCH_SECONDS: integer(1, 3_600),
  HEARTBEAT_SECONDS: integer(1, 300),
  STEP_MILLISECONDS: integer(1, 86_400_000),
  ALLOW_PRIVATE_WEBHOOKS: flag,
  WEBHOOK_PORTS: integers(1, 65_535),
  WEBHOOK_CONFIGS_PER_TASK: integer(1, 100),
  WEBHOOK_RATE_PER_MINUTE: integer(0, 1_000_000),
  WEBHOOK_BURST: integer(1, 100_000),
  WEBHOOK_GLOBAL_PER_MINUTE: integer(0, 10_000_000),
  WEBHOOK_CHALLENGE: z.enum(["off", "warn", "required"], 'must be "off", "warn" or "required"'),
  WEBHOOK_TIMEOUT_SECONDS: integer(1, 30),
  WEBHOOK_RETRY_SECONDS: integers(0, 604_800),
  WEBHOOK_RETENTION_DAYS: integer(1, 3_650),
  DOH_URL: z.string("must be set").check(z.refine(isHttpsUrl, "must be an https URL")),
  SESSION_SECONDS: integer(60, 86_400),
  SESSION_MAX_SECONDS: integer(60, 2_592_000),
  SESSIONS_PER_OWNER: integer(1, 1_000),
  SESSION_RATE_PER_MINUTE: integer(1, 1_000),
  // Secrets. Their form is checked by who uses them, which says what is wrong without saying what they are.
  ENCRYPTION_KEYS: z.string("must be set").check(z.minLength(1, "must be set")),
  SIGNING_KEYS: z.string("must be set").check(z.minLength(1, "must be set")),
  ADMIN_KEY: z.string("must be set").check(z.minLength(32, "must have at least 32 characters")),
});

export type AuthMode = "open" | "api-key" | "jwt";

export type Config = Readonly<{
  environment: "development" | "production";
  /** How callers say who they are; `open` stands alone. */
  authModes: readonly AuthMode[];
  /** Whose access tokens are taken, with `jwt`. */
  jwtIssuers: readonly Issuer[];
  defaultAgent: string;
  /** Without trailing slash; empty: each request's own origin. */
  publicUrl: string;
  /** Whose pages may call this server; "*": those of every origin, in development only. */
  corsOrigins: readonly string[];
  /** Host names that an open server answers at besides its own; "*": all. */
  allowedHosts: readonly string[];
  /** Different wrong credentials of one address before it has to wait; 0: it never has. */
  addressGuesses: number;
  /** Requests of one address, a minute, without a valid credential; 0: unlimited. */
  addressFailuresPerMinute: number;
  /** What one caller may ask of one home; 0: unlimited. */
  callerSendsPerMinute: number;
  callerReadsPerMinute: number;
  callerPushConfigsPerMinute: number;
  /** What comes in this time may come at once. */
  callerBurstMs: number;
  callerStreams: number;
  callerWaitingSends: number;
  /** Turns of quick agents that run in one home at once; 0: unlimited. */
  ownerTurns: number;
  homeShards: number;
  streaming: boolean;
  pushNotifications: boolean;
  extendedCard: boolean;
  /** The form of card that a client gets who names no version. */
  defaultCardVersion: "1.0" | "0.3";
  requiredExtensions: readonly string[];
  maxBodyBytes: number;
  maxJsonDepth: number;
  maxParts: number;
  maxTaskBytes: number;
  taskRetentionMs: number;
  turnTimeoutMs: number;
  jobWatchMs: number;
  heartbeatMs: number;
  stepMs: number;
  /** Whether webhooks may be plain http and lead to private addresses; never in production. */
  allowPrivateWebhooks: boolean;
  /** Ports a webhook may be at when private ones are not allowed. */
  webhookPorts: readonly number[];
  webhookConfigsPerTask: number;
  /** Per URL; 0: unlimited. */
  webhookRatePerMinute: number;
  webhookBurst: number;
  /** For the whole deployment; 0: unlimited. */
  webhookGlobalPerMinute: number;
  webhookChallenge: "off" | "warn" | "required";
  /** Of one attempt, the answer's body included. */
  webhookTimeoutMs: number;
  /** The delay before each attempt; their number is that of the attempts. */
  webhookRetryMs: readonly number[];
  /** How long dead letters and the history of attempts are kept. */
  webhookRetentionMs: number;
  /** A resolver that speaks DNS over HTTPS (RFC 8484, JSON). */
  dohUrl: string;
  /** How long a session lasts unless it is extended. */
  sessionMs: number;
  /** How long after it was made it ends at the latest. */
  sessionMaxMs: number;
  /** Live ones. */
  sessionsPerOwner: number;
  /** New sessions from one credential. */
  sessionRatePerMinute: number;
  encryptionKeys: string;
  signingKeys: string;
  adminKey: string;
}>;

/** Parses the vars; the errors are one sentence each and name the setting. */
export function loadConfig(env: object): Result<Config, string[]> {
  const parsed = Vars.safeParse(env);
  if (!parsed.success) {
    return err(parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`));
  }
  const vars = parsed.data;
  const issuers = parseIssuers(vars.JWT_ISSUERS, { httpsOnly: vars.ENVIRONMENT === "production" });
  if (!issuers.ok) return issuers;
  if (vars.AUTH_MODE.includes("jwt") && issuers.value.length === 0) {
    return err(["JWT_ISSUERS must name an issuer, or AUTH_MODE must not have jwt"]);
  }
  if (vars.ENVIRONMENT === "production") {
    const open: string[] = [];
    if (vars.AUTH_MODE.includes("open"))
      open.push("AUTH_MODE must not be open in production: use api-key or jwt");
    if (vars.DEFAULT_AGENT === "conformance") {
      open.push("DEFAULT_AGENT must not be conformance in production: that agent is for development only");
    }
    if (vars.ALLOW_PRIVATE_WEBHOOKS) {
      open.push(
        "ALLOW_PRIVATE_WEBHOOKS must be false in production: webhooks could reach the inside of a network",
      );
    }
    if (vars.PUBLIC_URL !== "" && !vars.PUBLIC_URL.startsWith("https:")) {
      open.push("PUBLIC_URL must be an https URL in production");
    }
    if (vars.CORS_ORIGINS.includes("*")) {
      open.push("CORS_ORIGINS must not be * in production: name the origins");
    }
    if (open.length > 0) return err(open);
  }
  return ok(
    Object.freeze({
      environment: vars.ENVIRONMENT,
      authModes: Object.freeze(vars.AUTH_MODE as AuthMode[]),
      jwtIssuers: issuers.value,
      defaultAgent: vars.DEFAULT_AGENT,
      publicUrl: vars.PUBLIC_URL,
      corsOrigins: Object.freeze(vars.CORS_ORIGINS),
      allowedHosts: Object.freeze(vars.ALLOWED_HOSTS),
      addressGuesses: vars.ADDRESS_GUESSES,
      addressFailuresPerMinute: vars.ADDRESS_FAILURES_PER_MINUTE,
      callerSendsPerMinute: vars.CALLER_SENDS_PER_MINUTE,
      callerReadsPerMinute: vars.CALLER_READS_PER_MINUTE,
      callerPushConfigsPerMinute: vars.CALLER_PUSH_CONFIGS_PER_MINUTE,
      callerBurstMs: vars.CALLER_BURST_SECONDS * 1_000,
      callerStreams: vars.CALLER_STREAMS,
      callerWaitingSends: vars.CALLER_WAITING_SENDS,
      ownerTurns: vars.OWNER_TURNS,
      homeShards: vars.HOME_SHARDS,
      streaming: vars.STREAMING,
      pushNotifications: vars.PUSH_NOTIFICATIONS,
      extendedCard: vars.EXTENDED_CARD,
      defaultCardVersion: vars.DEFAULT_CARD_VERSION,
      requiredExtensions: Object.freeze(vars.REQUIRED_EXTENSIONS),
      maxBodyBytes: vars.MAX_BODY_BYTES,
      maxJsonDepth: vars.MAX_JSON_DEPTH,
      maxParts: vars.MAX_PARTS,
      maxTaskBytes: vars.MAX_TASK_BYTES,
      taskRetentionMs: vars.TASK_RETENTION_DAYS * 86_400_000,
      turnTimeoutMs: vars.TURN_TIMEOUT_SECONDS * 1_000,
      jobWatchMs: vars.JOB_WATCH_SECONDS * 1_000,
      heartbeatMs: vars.HEARTBEAT_SECONDS * 1_000,
      stepMs: vars.STEP_MILLISECONDS,
      allowPrivateWebhooks: vars.ALLOW_PRIVATE_WEBHOOKS,
      webhookPorts: Object.freeze(vars.WEBHOOK_PORTS),
      webhookConfigsPerTask: vars.WEBHOOK_CONFIGS_PER_TASK,
      webhookRatePerMinute: vars.WEBHOOK_RATE_PER_MINUTE,
      webhookBurst: vars.WEBHOOK_BURST,
      webhookGlobalPerMinute: vars.WEBHOOK_GLOBAL_PER_MINUTE,
      webhookChallenge: vars.WEBHOOK_CHALLENGE,
      webhookTimeoutMs: vars.WEBHOOK_TIMEOUT_SECONDS * 1_000,
      webhookRetryMs: Object.freeze(vars.WEBHOOK_RETRY_SECONDS.map((seconds) => seconds * 1_000)),
      webhookRetentionMs: vars.WEBHOOK_RETENTION_DAYS * 86_400_000,
      dohUrl: vars.DOH_URL,
      sessionMs: vars.SESSION_SECONDS * 1_000,
      sessionMaxMs: vars.SESSION_MAX_SECONDS * 1_000,
      sessionsPerOwner: vars.SESSIONS_PER_OWNER,
      sessionRatePerMinute: vars.SESSION_RATE_PER_MINUTE,
      encryptionKeys: vars.ENCRYPTION_KEYS,
      signingKeys: vars.SIGNING_KEYS,
      adminKey: vars.ADMIN_KEY,
    }),
  );
}
