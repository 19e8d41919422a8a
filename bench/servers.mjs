// The servers under test: each a process tree of its own, on one core, with a fresh state directory.
//
// The load generator gets another core. Where `taskset` or a second core is missing, nothing is pinned,
// and the report says so.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const START_TIMEOUT_MS = 60_000;
const STATE_ROOT = fileURLToPath(new URL(".state", import.meta.url));
const ROOT = fileURLToPath(new URL("..", import.meta.url));

const peer = (store) => ({
  paths: { echo: "/", conformance: "/" },
  command: (port, state) => [file("peer/server.mjs"), "--port", port, "--store", store, "--state", state],
});

/** What is measured, in the order of the report's columns; `ceiling` has rows of its own, receivers have none. */
export const SERVERS = {
  ours: {
    title: "a2a-edge",
    paths: { echo: "/echo", conformance: "/conformance" },
    command: () => [path.join(ROOT, "scripts/serve.ts")],
    env: (port, state) => ({ PORT: port, STATE_DIR: state }),
    // It answers GET /health before its database has its tables.
    readyLine: /^Ready on /m,
  },
  memory: { title: "SDK, memory", ...peer("memory") },
  full: { title: "SDK, SQLite FULL", ...peer("full") },
  normal: { title: "SDK, SQLite NORMAL", ...peer("normal") },
  ceiling: {
    title: "raw ceiling",
    command: (port, state) => [file("ceiling/server.mjs"), "--port", port, "--state", state],
  },
  receiver: { core: "load", command: (port) => [file("receiver.mjs"), "--port", port] },
  silent: { core: "load", command: (port) => [file("receiver.mjs"), "--port", port, "--silent"] },
};

export const cores = pickCores();
const alive = new Set();
let nextPort = 22_000;
process.once("exit", () => {
  for (const pid of alive) signal(pid, "SIGKILL");
});

/** Keeps this process, the load, off the servers' core. */
export function pinLoad() {
  if (cores) execFileSync("taskset", ["-acp", String(cores.load), String(process.pid)], { stdio: "ignore" });
}

/** Starts the named servers; resolves when all answer, to `{ name: { origin, paths, pid } }`. */
export function startServers(names, { env } = {}) {
  return startContenders(Object.fromEntries(names.map((name) => [name, { server: name, env }])));
}

/**
 * Starts servers under names of one's own: `{ name: { server, env?, state? } }`. A state directory that is given,
 * by `createState`, is removed like any other when its server stops.
 */
export async function startContenders(contenders) {
  const running = {};
  try {
    for (const [name, contender] of Object.entries(contenders)) {
      running[name] = launch(contender, await freePort());
    }
    await Promise.all(Object.values(running).map(untilHealthy));
  } catch (error) {
    await stopServers(running);
    throw error;
  }
  return running;
}

/** A new state directory, on the disk of this checkout. */
export function createState(name) {
  mkdirSync(STATE_ROOT, { recursive: true });
  return mkdtempSync(path.join(STATE_ROOT, `${name}-`));
}

export async function stopServers(running) {
  await Promise.all(Object.values(running).map(stop));
}

function launch({ server: name, env: extra, state = createState(name) }, port) {
  const { paths, command, env, readyLine, core = "server" } = SERVERS[name];
  const argv = [process.execPath, ...command(port, state)];
  if (cores) argv.unshift("taskset", "-c", String(cores[core]));
  const child = spawn(argv[0], argv.slice(1), {
    cwd: ROOT,
    detached: true, // a process group of its own, so that stopping it takes workerd along
    env: { ...process.env, ...env?.(port, state), ...extra },
    stdio: ["ignore", readyLine ? "pipe" : "ignore", "pipe"],
  });
  alive.add(child.pid);
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    complaint = (complaint + text).slice(-4000);
  });
  let saidReady = readyLine === undefined;
  child.stdout?.setEncoding("utf8").on("data", (text) => {
    saidReady ||= readyLine.test(text);
  });
  return {
    name,
    origin: `http://127.0.0.1:${port}`,
    paths,
    pid: child.pid,
    child,
    state,
    said: () => complaint,
    isReady: () => saidReady,
  };
}

async function untilHealthy(server) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && server.child.exitCode === null) {
    const answer = await fetch(`${server.origin}/health`).catch(() => undefined);
    if (answer?.ok && server.isReady()) return;
    await delay(50);
  }
  throw new Error(`${server.name} did not start.\n${server.said()}`);
}

async function stop({ child, pid, state }) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const force = setTimeout(() => signal(pid, "SIGKILL"), 3000);
  signal(pid, "SIGTERM");
  if (child.exitCode === null && child.signalCode === null) await ended;
  clearTimeout(force);
  signal(pid, "SIGKILL"); // what may be left of the group
  alive.delete(pid);
  rmSync(state, { recursive: true, force: true, maxRetries: 5 });
}

function signal(pid, name) {
  try {
    process.kill(-pid, name);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

async function freePort() {
  for (;;) {
    const port = nextPort++;
    const free = await new Promise((resolve) => {
      const probe = net.createServer().once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return String(port);
  }
}

function pickCores() {
  try {
    execFileSync("taskset", ["-V"], { stdio: "ignore" });
    const [, list] = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync("/proc/self/status", "utf8"));
    const allowed = list.split(",").flatMap((range) => {
      const [from, to = from] = range.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, n) => from + n);
    });
    return allowed.length > 1 ? { server: allowed[0], load: allowed[1] } : undefined;
  } catch {
    return undefined;
  }
}

function file(relative) {
  return fileURLToPath(new URL(relative, import.meta.url));
}
