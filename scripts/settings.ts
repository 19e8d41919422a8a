// What a local server takes from the environment: PORT, STATE_DIR, CRON_SECONDS, and every var of
// wrangler.toml under its own name. The values of vars are not judged here: the Worker does that.

import { createServer } from "node:net";
import { resolve } from "node:path";
import { Refusal } from "./command.ts";
import { type Project, root } from "./project.ts";

export const HOST = "127.0.0.1";
export const DEFAULT_STATE_DIR = ".wrangler/state";

export type Settings = {
  /** 0 lets the system choose. */
  port: number;
  /** Both `npm start` and `npm run serve` keep their data here in the layout of wrangler, so they share it. */
  stateDir: string;
  /** Only the vars the environment sets. */
  vars: Record<string, string>;
  /** How often the cron trigger is fired, which the local runtime does not do by itself. */
  cronSeconds: number;
};

export function readSettings(project: Project, env: NodeJS.ProcessEnv): Settings {
  const vars: Record<string, string> = {};
  for (const name of Object.keys(project.vars)) {
    const value = env[name];
    if (value !== undefined) vars[name] = value;
  }
  return {
    port: whole("PORT", env.PORT, 8787, 0, 65_535),
    stateDir: resolve(root, env.STATE_DIR || DEFAULT_STATE_DIR),
    vars,
    cronSeconds: whole("CRON_SECONDS", env.CRON_SECONDS, 60, 1, 86_400),
  };
}

function whole(name: string, text: string | undefined, preset: number, min: number, max: number): number {
  if (text === undefined || text === "") return preset;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new Refusal(`${name} must be a whole number from ${min} to ${max}, not "${text}".`);
  }
  return value;
}

/** Refuses a port that is taken, because the runtime's own message for it is a stack. */
export async function requireFreePort(port: number): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((settle, fail) => {
      probe.once("error", fail);
      probe.listen({ host: HOST, port, exclusive: true }, settle);
    });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EADDRINUSE") {
      throw new Refusal(
        `Port ${port} on ${HOST} is in use. Stop what listens there, or choose another port with PORT.`,
      );
    }
    throw new Refusal(`Port ${port} on ${HOST} cannot be used: ${code}.`);
  }
  await new Promise((settle) => probe.close(settle));
}
