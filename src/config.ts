// The settings of a deployment: the vars of wrangler.toml, parsed once an isolate into a frozen Config.
//
// A wrong value never becomes a default: the Worker then answers every request with 500 and the log
// names the setting. `npm run deploy` runs the same function before it deploys. docs/configuration.md is made of the
// table of settings (`npm run docs`).

import * as z from "zod/mini";
import { type Issuer, parseIssuers } from "./issuers.ts";
import { err, ok, type Result } from "./lib/result.ts";
import {
  choice,
  type Described,
  exactOrigins,
  flag,
  hostNames,
  httpsUrl,
  integer,
  integers,
  listOf,
  originOrEmpty,
  origins,
  secret,
  text,
} from "./setting-schemas.ts";

const CLOSED_MODES = ["api-key", "jwt"];

/** `open` is for everybody, so it cannot stand beside a mode that is not. */
function areModes(modes: string[]): boolean {
  if (modes.length === 1 && modes[0] === "open") return true;
  const isClosed = modes.length > 0 && modes.every((mode) => CLOSED_MODES.includes(mode));
  return isClosed && new Set(modes).size === modes.length;
}

const settings = {
  ENVIRONMENT: choice("development", "production"),
  AUTH_MODE: listOf('"open", or one or both of "api-key" and "jwt"', areModes),
  // Read when all else is right.
  JWT_ISSUERS: text("a JSON array of issuers", () => true, "must be set"),
  DEFAULT_AGENT: text("the name of an agent", (name) => name !== "", "must be set"),
  PUBLIC_URL: originOrEmpty,
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
  LOAD_SHEDDING: flag,
  SHED_WAITING: integer(0, 100_000),
  SHED_COMMIT_MILLISECONDS: integer(0, 600_000),
  SHED_OVERDUE_SECONDS: integer(0, 86_400),
  SHED_BACKLOG: integer(0, 1_000_000),
  EXTENDED_CARD: flag,
  DEFAULT_CARD_VERSION: choice("1.0", "0.3"),
  REQUIRED_EXTENSIONS: listOf("URIs, separated by commas", () => true),
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
  WEBHOOK_CHALLENGE: choice("off", "warn", "required"),
  WEBHOOK_TOKEN_ORIGINS: exactOrigins,
  WEBHOOK_TIMEOUT_SECONDS: integer(1, 30),
  WEBHOOK_RETRY_SECONDS: integers(0, 604_800),
  WEBHOOK_RETENTION_DAYS: integer(1, 3_650),
  AUDIT_RETENTION_DAYS: integer(1, 36_500),
  DOH_URL: httpsUrl,
  SESSION_SECONDS: integer(60, 86_400),
  SESSION_MAX_SECONDS: integer(60, 2_592_000),
  SESSIONS_PER_OWNER: integer(1, 10_000),
  SESSION_RATE_PER_MINUTE: integer(1, 1_000),
  ENCRYPTION_KEYS: secret("<version>:<base64 of 32 bytes>, separated by commas"),
  SIGNING_KEYS: secret("a JSON array of private Ed25519 JWKs"),
  ADMIN_KEY: secret("at least 32 characters", 32),
};

const Vars = z.object(settings);
type Vars = z.infer<typeof Vars>;

type Rule = { name: keyof typeof settings; isBroken(vars: Vars): boolean; says: string };

/** What production insists on, so that no door is left open by an oversight. */
const productionRules: readonly Rule[] = [
  {
    name: "AUTH_MODE",
    isBroken: (vars) => vars.AUTH_MODE.includes("open"),
    says: "must not be open in production: use api-key or jwt",
  },
  {
    name: "DEFAULT_AGENT",
    isBroken: (vars) => vars.DEFAULT_AGENT === "conformance",
    says: "must not be conformance in production: that agent is for development only",
  },
  {
    name: "ALLOW_PRIVATE_WEBHOOKS",
    isBroken: (vars) => vars.ALLOW_PRIVATE_WEBHOOKS,
    says: "must be false in production: webhooks could reach the inside of a network",
  },
  {
    name: "PUBLIC_URL",
    isBroken: (vars) => vars.PUBLIC_URL !== "" && !vars.PUBLIC_URL.startsWith("https:"),
    says: "must be an https URL in production",
  },
  {
    name: "CORS_ORIGINS",
    isBroken: (vars) => vars.CORS_ORIGINS.includes("*"),
    says: "must not be * in production: name the origins",
  },
];

export type Setting = {
  name: string;
  /** What it may be, as in "must be " and this. */
  takes: string;
  isSecret: boolean;
  /** What production insists on beyond that, as in its name and this. */
  production: string | undefined;
};

/** Every setting in words, for the reference. */
export function describeSettings(): Setting[] {
  return Object.entries<Described>(settings).map(([name, { takes, isSecret = false }]) => {
    return { name, takes, isSecret, production: productionRules.find((rule) => rule.name === name)?.says };
  });
}

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
  /** Versions of A2A that are switched off at run time. */
  offVersions: readonly string[];
  streaming: boolean;
  pushNotifications: boolean;
  /** Whether new work is refused while old work is behind. */
  loadShedding: boolean;
  /** When a home is behind: so many calls wait for a commit, or one took so long; 0: never. */
  shedWaiting: number;
  shedCommitMs: number;
  /** When its notifications to an origin are: one is overdue so long, or so many configs have one waiting; 0: never. */
  shedOverdueMs: number;
  shedBacklog: number;
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
  /** Where tokens may be had from besides the receiver itself, where that has to pass the challenge. */
  webhookTokenOrigins: readonly string[];
  /** Of one attempt, the answer's body included. */
  webhookTimeoutMs: number;
  /** The delay before each attempt; their number is that of the attempts. */
  webhookRetryMs: readonly number[];
  /** How long dead letters and the history of attempts are kept. */
  webhookRetentionMs: number;
  /** How long the audit is kept in D1. */
  auditRetentionMs: number;
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
    const broken = productionRules.filter((rule) => rule.isBroken(vars));
    const open = broken.map(({ name, says }) => `${name} ${says}`);
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
      offVersions: Object.freeze([]),
      streaming: vars.STREAMING,
      pushNotifications: vars.PUSH_NOTIFICATIONS,
      loadShedding: vars.LOAD_SHEDDING,
      shedWaiting: vars.SHED_WAITING,
      shedCommitMs: vars.SHED_COMMIT_MILLISECONDS,
      shedOverdueMs: vars.SHED_OVERDUE_SECONDS * 1_000,
      shedBacklog: vars.SHED_BACKLOG,
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
      webhookTokenOrigins: Object.freeze(vars.WEBHOOK_TOKEN_ORIGINS),
      webhookTimeoutMs: vars.WEBHOOK_TIMEOUT_SECONDS * 1_000,
      webhookRetryMs: Object.freeze(vars.WEBHOOK_RETRY_SECONDS.map((seconds) => seconds * 1_000)),
      webhookRetentionMs: vars.WEBHOOK_RETENTION_DAYS * 86_400_000,
      auditRetentionMs: vars.AUDIT_RETENTION_DAYS * 86_400_000,
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
