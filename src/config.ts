// The settings of a deployment: the vars of wrangler.toml, parsed once an isolate into a frozen Config.
//
// A wrong value never becomes a default: the Worker then answers every request with 500 and the log
// names the setting. `npm run deploy` runs the same function before it deploys.

import * as z from "zod/mini";
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
  return url?.origin === text && url.protocol.startsWith("http");
}

const Vars = z.object({
  ENVIRONMENT: z.enum(["development", "production"], 'must be "development" or "production"'),
  AUTH_MODE: z.enum(["open", "api-key"], 'must be "open" or "api-key"'),
  DEFAULT_AGENT: z.string("must be set").check(z.minLength(1, "must name an agent")),
  PUBLIC_URL: publicUrl,
  HOME_SHARDS: integer(1, 64),
  STREAMING: flag,
  PUSH_NOTIFICATIONS: z.literal("false", 'must be "false": this version delivers no push notifications'),
  EXTENDED_CARD: flag,
  DEFAULT_CARD_VERSION: z.literal("1.0", 'must be "1.0": this version speaks no older dialect'),
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
});

export type Config = Readonly<{
  environment: "development" | "production";
  authMode: "open" | "api-key";
  defaultAgent: string;
  /** Without trailing slash; empty: each request's own origin. */
  publicUrl: string;
  homeShards: number;
  streaming: boolean;
  pushNotifications: boolean;
  extendedCard: boolean;
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
}>;

/** Parses the vars; the errors are one sentence each and name the setting. */
export function loadConfig(env: object): Result<Config, string[]> {
  const parsed = Vars.safeParse(env);
  if (!parsed.success) {
    return err(parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`));
  }
  const vars = parsed.data;
  if (vars.ENVIRONMENT === "production") {
    const open: string[] = [];
    if (vars.AUTH_MODE === "open") open.push("AUTH_MODE must not be open in production: use api-key");
    if (vars.DEFAULT_AGENT === "conformance") {
      open.push("DEFAULT_AGENT must not be conformance in production: that agent is for development only");
    }
    if (vars.PUBLIC_URL !== "" && !vars.PUBLIC_URL.startsWith("https:")) {
      open.push("PUBLIC_URL must be an https URL in production");
    }
    if (open.length > 0) return err(open);
  }
  return ok(
    Object.freeze({
      environment: vars.ENVIRONMENT,
      authMode: vars.AUTH_MODE,
      defaultAgent: vars.DEFAULT_AGENT,
      publicUrl: vars.PUBLIC_URL,
      homeShards: vars.HOME_SHARDS,
      streaming: vars.STREAMING,
      pushNotifications: false,
      extendedCard: vars.EXTENDED_CARD,
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
    }),
  );
}
