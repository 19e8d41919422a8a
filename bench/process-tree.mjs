// What a server costs the machine: memory and CPU time of its process with all its descendants, because
// our server is two processes (Node and workerd) and the peer's is one.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Resident memory in MB, as `ps` sees it. */
export function residentMegabytes({ pid }) {
  return sum(descendants(pid), ({ rss }) => rss) / 1024;
}

/**
 * The highest of many looks at the resident memory, in MB: `look()` now and then, `highest()` in the end. A look is
 * cheap where there is /proc; elsewhere it is one at `ps`.
 */
export function watchMemory(server) {
  const ids = descendants(server.pid).map(({ id }) => id);
  let highest = 0;
  return {
    look() {
      highest = Math.max(highest, residentOf(ids) ?? residentMegabytes(server));
    },
    highest: () => highest,
  };
}

function residentOf(ids) {
  try {
    return (
      sum(ids, (id) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/status`, "utf8"))[1])) / 1024
    );
  } catch {
    return undefined;
  }
}

/** User and system time so far, in milliseconds (in steps of 10); undefined where there is no /proc. */
export function cpuMilliseconds({ pid }) {
  try {
    return sum(descendants(pid), ({ id }) => ticks(id)) * 10;
  } catch {
    return undefined;
  }
}

function descendants(pid) {
  const all = execFileSync("ps", ["-A", "-o", "pid=,ppid=,rss="], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((line) => {
      const [id, parent, rss] = line.trim().split(/\s+/).map(Number);
      return { id, parent, rss };
    });
  const tree = new Set([pid]);
  for (let before = 0; before !== tree.size; ) {
    before = tree.size;
    for (const { id, parent } of all) if (tree.has(parent)) tree.add(id);
  }
  return all.filter(({ id }) => tree.has(id));
}

/** Fields 14 and 15 of /proc/N/stat, in hundredths of a second; the command in field 2 may hold spaces. */
function ticks(id) {
  const fields = readFileSync(`/proc/${id}/stat`, "utf8").split(") ").at(-1).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function sum(items, value) {
  return items.reduce((total, item) => total + value(item), 0);
}
