// Where the project is, and what wrangler.toml says, read by wrangler's own reader.

import "./quiet.ts";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { type Unstable_Config, unstable_readConfig } from "wrangler";
import { Refusal } from "./command.ts";

export type Project = Unstable_Config;

export const root = resolve(import.meta.dirname, "..");

/** Reads a wrangler.toml; `environment` names a section such as `production`, and none is the top level. */
export function readProject(environment = "", file = join(root, "wrangler.toml")): Project {
  try {
    return unstable_readConfig({ config: file, env: environment }, { hideWarnings: true });
  } catch (error) {
    throw new Refusal(`${file} cannot be used: ${(error as Error).message}`);
  }
}

/**
 * Runs wrangler's command line and resolves with its exit code. Without a terminal for its input it never asks
 * a question. Its output is shown, or collected where the caller may not need it.
 */
export function wrangler(
  args: string[],
  output: "show" | "collect",
): Promise<{ code: number; output: string }> {
  const bin = join(
    dirname(createRequire(import.meta.url).resolve("wrangler/package.json")),
    "bin/wrangler.js",
  );
  const stdio = output === "show" ? "inherit" : "pipe";
  const child = spawn(process.execPath, [bin, ...args], { cwd: root, stdio: ["ignore", stdio, stdio] });
  let collected = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      collected += chunk;
    });
  }
  return new Promise((settle, fail) => {
    child.on("error", fail);
    child.on("close", (code) => settle({ code: code ?? 1, output: collected }));
  });
}
