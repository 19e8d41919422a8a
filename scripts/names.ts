// How a name becomes addresses when a connection is made to it.
//
// Names of receivers are chosen by callers, whose name servers may never answer. The system's own lookup runs in a few
// threads that cannot be stopped, so a handful of such names would hold up everybody else's. Here each name is asked for
// by a resolver of its own, which waits for nobody and ends with its request. What it cannot know is in the hosts file.

import type { LookupAddress } from "node:dns";
import { lookup, Resolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";

/** All addresses of a name, at least one; rejects when there is none, or the signal fires. */
export type FindAddresses = (host: string, signal: AbortSignal) => Promise<LookupAddress[]>;

/** As the system does: for a name that only an operator chooses. It may be known to this machine's network alone. */
export const findBySystem: FindAddresses = (host) => lookup(host, { all: true });

export type DnsOptions = {
  /** Name servers as "address:port"; default: those of the system. */
  servers?: string[];
  /** Default: that of the system. */
  hostsFile?: string;
};

/** Of one question to one server. The second try waits twice as long. */
const TIMEOUT_MS = 2_000;
const TRIES = 2;
/** For so long the hosts file is not read again. */
const HOSTS_MS = 5_000;

/** By the hosts file, or else by DNS: both families have to be answered. */
export function createFindByDns({ servers, hostsFile = systemHostsFile() }: DnsOptions = {}): FindAddresses {
  let hosts = new Map<string, LookupAddress[]>();
  let readAt = Number.NEGATIVE_INFINITY;

  function fromHosts(host: string): LookupAddress[] | undefined {
    if (performance.now() - readAt >= HOSTS_MS) {
      hosts = readHosts(hostsFile);
      readAt = performance.now();
    }
    return hosts.get(host.toLowerCase());
  }

  return async (host, signal) => {
    signal.throwIfAborted();
    const listed = fromHosts(host);
    if (listed !== undefined) return listed;
    const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
    if (servers !== undefined) resolver.setServers(servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener("abort", cancel);
    try {
      const [ipv4, ipv6] = await Promise.all([
        orNone(resolver.resolve4(host)),
        orNone(resolver.resolve6(host)),
      ]);
      if (ipv4.length + ipv6.length === 0) throw new Error(`${host} has no address`);
      return [
        ...ipv4.map((address) => ({ address, family: 4 })),
        ...ipv6.map((address) => ({ address, family: 6 })),
      ];
    } finally {
      signal.removeEventListener("abort", cancel);
      // The other family's question, if one has failed.
      cancel();
    }
  };
}

/** Many names have addresses of one family only. Any other failure is one: what is not known may be private. */
async function orNone(addresses: Promise<string[]>): Promise<string[]> {
  try {
    return await addresses;
  } catch (error) {
    if (/^(ENODATA|ENOTFOUND)$/.test((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}

/** Names in lower case; none where there is no such file. */
function readHosts(path: string): Map<string, LookupAddress[]> {
  const hosts = new Map<string, LookupAddress[]>();
  for (const line of readLines(path)) {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const family = isIP(address);
    if (family === 0) continue;
    for (const name of names.map((text) => text.toLowerCase())) {
      hosts.set(name, [...(hosts.get(name) ?? []), { address, family }]);
    }
  }
  return hosts;
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}

function systemHostsFile(): string {
  const { platform, env } = process;
  if (platform !== "win32") return "/etc/hosts";
  return join(env.SystemRoot ?? "C:\\Windows", "System32\\drivers\\etc\\hosts");
}
