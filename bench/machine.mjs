// The machine and the versions, in one line a fact: what a reader needs to place absolute figures.

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "./client.mjs";
import { cores } from "./servers.mjs";

const require = createRequire(import.meta.url);

export function describeMachine() {
  const cpus = os.cpus();
  return [
    `${cpus.length} cores, ${cpus[0].model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GB memory, ${os.platform()} ${os.arch()}`,
    cores ? "the servers on one core, the load on another" : "nothing pinned: no taskset, or a single core",
    `one 4 KB append with fsync: ${fsyncMs().toFixed(2)} ms (median)`,
    `Node ${process.versions.node}, ${versions(["workerd", "miniflare", "@a2a-js/sdk", "express", "better-sqlite3"])}`,
  ];
}

function versions(names) {
  return names.map((name) => `${name} ${version(name)}`).join(", ");
}

function version(name) {
  for (const root of require.resolve.paths(name)) {
    try {
      return JSON.parse(readFileSync(path.join(root, name, "package.json"), "utf8")).version;
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  return "not installed";
}

/** The price of durability on this disk; every server's state lies beside this file. */
function fsyncMs() {
  const directory = fileURLToPath(new URL(".state", import.meta.url));
  mkdirSync(directory, { recursive: true });
  const file = path.join(directory, "fsync");
  const descriptor = openSync(file, "w");
  const block = Buffer.alloc(4096, 1);
  const times = Array.from({ length: 100 }, () => {
    const start = performance.now();
    writeSync(descriptor, block);
    fsyncSync(descriptor);
    return performance.now() - start;
  });
  closeSync(descriptor);
  rmSync(file);
  return median(times);
}
