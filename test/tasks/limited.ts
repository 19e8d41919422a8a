// Homes with other settings than those of this test run. The server is loaded before a test file is, so its modules
// are dropped first:
//
//   vi.hoisted(() => vi.resetModules());
//   vi.mock("../../src/config.ts", async (original) => (await import("./limited.ts")).withSettings(original));
//   const { settings } = await import("./limited.ts");

import type * as configs from "../../src/config.ts";
import { ok } from "../../src/lib/result.ts";

/** Of every home that starts from now on, and of every Worker. */
export const settings: Partial<configs.Config> = {};

export async function withSettings(original: () => Promise<unknown>): Promise<typeof configs> {
  const real = (await original()) as typeof configs;
  return {
    ...real,
    loadConfig(env) {
      const loaded = real.loadConfig(env);
      return loaded.ok ? ok({ ...loaded.value, ...settings }) : loaded;
    },
  };
}
