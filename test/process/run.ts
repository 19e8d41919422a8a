// Runs a program to its end, without a terminal and without input, and gives all that it printed.

import { spawn } from "node:child_process";
import { root } from "./server.ts";

export type Run = { code: number | null; output: string };

export function run(program: string, args: string[], env: Record<string, string> = {}): Promise<Run> {
  const child = spawn(program, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  }
  return new Promise((settle, fail) => {
    child.on("error", fail);
    child.on("close", (code) => settle({ code, output }));
  });
}
