// A program that serves: started, waited for, read and ended.

import { spawn } from "node:child_process";
import { root } from "./server.ts";

export type Program = {
  /** The address it says it is ready on. */
  url: string;
  /** What it has printed. */
  output(): string;
  /** Sends SIGTERM and waits for the end; resolves with the exit code, null when the signal ended it. */
  stop(): Promise<number | null>;
};

const READY_TIMEOUT_MS = 60_000;

/** Starts a program that prints `Ready on <address>`. */
export async function startProgram(
  command: readonly string[],
  env: Record<string, string> = {},
): Promise<Program> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PORT: "0", ...env },
  });
  const exited = new Promise<number | null>((settle) => child.on("close", settle));
  let output = "";
  const url = await new Promise<string>((settle, fail) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      fail(new Error(`not ready in time:\n${output}`));
    }, READY_TIMEOUT_MS);
    const read = (chunk: Buffer) => {
      output += chunk;
      const address = /^Ready on (http\S+)$/m.exec(output)?.[1];
      if (address === undefined) return;
      clearTimeout(timer);
      settle(address);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", fail);
    child.on("close", (code) => {
      clearTimeout(timer);
      fail(new Error(`ended with ${code} before it was ready:\n${output}`));
    });
  });
  return {
    url,
    output: () => output,
    async stop() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}
