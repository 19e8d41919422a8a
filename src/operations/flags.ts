// Feature flags: what operators switch off at run time, for the whole deployment. A flag takes away from what the
// settings allow and never adds to it, so whoever can switch flags can open nothing.
//
// Each isolate reads them in the background, at most every 30 s, and no request waits for it: D1 is on nobody's path.
// So an isolate that starts, or has been idle, serves the requests that come before its reading is back by what it
// knew, which is the settings. Waiting would make every start as slow as D1, and none at all while it is down.

import type { Config } from "../config.ts";
import { VERSIONS } from "../protocol/version.ts";
import { type FlagRow, readFlags } from "../store/flags.ts";
import { log } from "../telemetry/log.ts";

type Feature = {
  description: string;
  /** Whether the settings allow it. */
  allows(config: Config): boolean;
  without(config: Config): Config;
};

export const features: ReadonlyMap<string, Feature> = new Map([
  ...VERSIONS.map((version): [string, Feature] => [
    `version-${version}`,
    {
      description: `A2A ${version}`,
      allows: () => true,
      without: (config) => ({ ...config, offVersions: [...config.offVersions, version] }),
    },
  ]),
  [
    "streaming",
    {
      description: "SendStreamingMessage and SubscribeToTask",
      allows: ({ streaming }) => streaming,
      without: (config) => ({ ...config, streaming: false }),
    },
  ],
  [
    "push",
    {
      description: "Setting and reading push notification configs; those there are go on",
      allows: ({ pushNotifications }) => pushNotifications,
      without: (config) => ({ ...config, pushNotifications: false }),
    },
  ],
  [
    "load-shedding",
    {
      description: "Refusing new work while old work is behind",
      allows: ({ loadShedding }) => loadShedding,
      without: (config) => ({ ...config, loadShedding: false }),
    },
  ],
]);

/** The settings with everything off that is switched off. Flags of a newer or older server mean nothing. */
export function withFlags(config: Config, rows: readonly Pick<FlagRow, "name" | "isOn">[]): Config {
  const off = rows.filter(({ isOn }) => !isOn).map(({ name }) => features.get(name));
  return Object.freeze(off.reduce((left, feature) => feature?.without(left) ?? left, config));
}

export type Flags = {
  /** The settings as they are in force. */
  readonly config: Config;
  /** Has this isolate read the flags at its next request. */
  changed(): void;
};

export type FlagsOptions = {
  config: Config;
  db: D1Database;
  now(): number;
  waitUntil(promise: Promise<unknown>): void;
};

const READ_EVERY_MS = 30_000;

export function createFlags({ config: settings, db, now, waitUntil }: FlagsOptions): Flags {
  let inForce = settings;
  let known = "[]";
  let readAt = Number.NEGATIVE_INFINITY;

  async function read(): Promise<void> {
    try {
      const rows = await readFlags(db);
      const off = JSON.stringify(rows.filter(({ isOn }) => !isOn).map(({ name }) => name));
      // The same settings stay the same object.
      if (off === known) return;
      known = off;
      inForce = withFlags(settings, rows);
    } catch (error) {
      log("warn", "the flags could not be read; what was known of them stays in force", { error });
    }
  }

  return {
    get config() {
      const at = now();
      // A clock that was put back makes nothing younger than it is.
      if (Math.abs(at - readAt) >= READ_EVERY_MS) {
        readAt = at;
        waitUntil(read());
      }
      return inForce;
    },
    changed() {
      readAt = Number.NEGATIVE_INFINITY;
    },
  };
}
