// A server in a process group of its own, the way a user starts it, so that a test can kill everything that
// belongs to it at once and see whether anything was left behind.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const root = resolve(import.meta.dirname, "../..");

const commands = {
  start: ["npm", "start"],
  serve: [process.execPath, "scripts/serve.ts"],
} as const;

export type ServerOptions = {
  mode: keyof typeof commands;
  stateDir: string;
  /** Vars of wrangler.toml, PORT and CRON_SECONDS; PORT is 0 unless given. */
  vars?: Record<string, string>;
};

export type Server = {
  /** Resolves with the address when the server says it is ready; rejects when it ends before. */
  ready: Promise<string>;
  /** What it has printed. */
  output(): string;
  /** Resolves, when nothing writes to its output any more, with the exit code; null when a signal ended it. */
  exited: Promise<number | null>;
  /** Sends SIGTERM to the process that was started, and to it alone; waits until all have ended. */
  stop(): Promise<number | null>;
  /** Ctrl-C: SIGINT to every process of the group, as a terminal sends it; waits for the end. */
  interrupt(): Promise<number | null>;
  /** SIGKILL to every process of the group at once; waits until none is left. */
  kill9(): Promise<void>;
  /** The processes of the group that still run. */
  processes(): number[];
};

const READY_TIMEOUT_MS = 60_000;

/** Starts a server without waiting for it. */
export function launchServer({ mode, stateDir, vars }: ServerOptions): Server {
  const [program, ...args] = commands[mode];
  const child = spawn(program, args, {
    cwd: root,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PORT: "0", STATE_DIR: stateDir, ...vars },
  });
  const group = child.pid ?? 0;
  const exited = new Promise<number | null>((settle) => child.on("close", settle));
  let output = "";
  const ready = new Promise<string>((settle, fail) => {
    const timer = setTimeout(() => fail(new Error(`not ready in time:\n${output}`)), READY_TIMEOUT_MS);
    const read = (chunk: Buffer) => {
      output += chunk;
      const url = /^Ready on (http\S+)$/m.exec(output)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      settle(url);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("close", (code) => {
      clearTimeout(timer);
      fail(new Error(`ended with ${code} before it was ready:\n${output}`));
    });
  });
  // A test that kills a server while it starts does not want to know that it never got ready.
  ready.catch(() => {});
  return {
    ready,
    output: () => output,
    exited,
    processes: () => processesOf(group),
    async stop() {
      child.kill("SIGTERM");
      return exited;
    },
    async interrupt() {
      process.kill(-group, "SIGINT");
      return exited;
    },
    async kill9() {
      if (processesOf(group).length > 0) process.kill(-group, "SIGKILL");
      while (processesOf(group).length > 0) await sleep(5);
    },
  };
}

/** Starts a server and waits until it serves. */
export async function startServer(options: ServerOptions): Promise<Server & { url: string }> {
  const server = launchServer(options);
  return { ...server, url: await server.ready };
}

/** A new folder for a server's state, outside the project. */
export function createStateDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), "a2a-edge-"));
}

export function removeStateDir(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 5 });
}

/** Zombies do not count: they are dead and only wait for a parent that is gone as well. */
function processesOf(group: number): number[] {
  const rows = existsSync("/proc/self/stat") ? procRows() : psRows();
  return rows.filter((row) => row.group === group && !row.state.startsWith("Z")).map((row) => row.pid);
}

type ProcessRow = { pid: number; group: number; state: string };

function procRows(): ProcessRow[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // pid (command) state parent group …; the command may hold anything.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state = "", , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return [{ pid: Number(name), group: Number(group), state }];
    } catch {
      return [];
    }
  });
}

function psRows(): ProcessRow[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,pgid=,stat="], { encoding: "utf8" }).trim().split("\n");
  return lines.map((line) => {
    const [pid, group, state = ""] = line.trim().split(/\s+/);
    return { pid: Number(pid), group: Number(group), state };
  });
}
