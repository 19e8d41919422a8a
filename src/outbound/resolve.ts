// Names to addresses by DNS over HTTPS, in the JSON form that public resolvers speak (application/dns-json).
//
// It answers the guard's question "may anything behind this name be private", so it fails closed: both families have
// to be answered, and an answer that is not understood in whole is a failure. The resolver is asked for recursion,
// so a chain of aliases comes with the addresses; every name of it has to be one of the Internet.
//
// One resolver serves one Durable Object: callers share lookups, which the platform allows only within an object.

import { keepNewest } from "../lib/keep-newest.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { parseAddress } from "./addresses.ts";
import { findNameProblem } from "./guard.ts";
import { readAnswer } from "./read-answer.ts";

export type ResolveError = { error: "dns_failure" | "blocked_destination"; detail?: string };

/** All addresses of a host name as text, at least one; public or not. */
export type Resolve = (host: string) => Promise<Result<string[], ResolveError>>;

export type ResolverOptions = {
  /** Asked with `name` and `type` added to its query. */
  dohUrl: string;
  fetch?: typeof fetch;
  now(): number;
};

/** However long a record may be kept: a name that is pointed elsewhere is noticed after this time. */
const MAX_TTL_SECONDS = 30;
const MAX_CACHED = 1_000;
const TIMEOUT_MS = 5_000;
const MAX_BYTES = 65_536;
const MAX_RECORDS = 256;
const MAX_ALIASES = 16;

const A = 1;
const CNAME = 5;
const AAAA = 28;

type Type = typeof A | typeof AAAA;
type DnsRecord = { name: string; type: number; ttlSeconds: number; data: string };
type Found = { addresses: string[]; ttlSeconds: number };

export function createResolver(options: ResolverOptions): Resolve {
  const { now } = options;
  const cache = new Map<string, { addresses: string[]; until: number }>();
  const running = new Map<string, ReturnType<Resolve>>();

  async function lookUp(host: string): ReturnType<Resolve> {
    const startedAt = now();
    const answers = await Promise.all([A, AAAA].map((type) => ask(options, host, type as Type)));
    const blocked = answers.find((answer) => !answer.ok && answer.error.error === "blocked_destination");
    const [ipv4, ipv6] = answers;
    if (blocked !== undefined && !blocked.ok) return blocked;
    if (!ipv4?.ok || !ipv6?.ok)
      return ipv4?.ok === false ? ipv4 : (ipv6 as { ok: false; error: ResolveError });
    const addresses = [...new Set([...ipv4.value.addresses, ...ipv6.value.addresses])];
    if (addresses.length === 0) return fail("the name has no address");
    const ttlSeconds = Math.min(ipv4.value.ttlSeconds, ipv6.value.ttlSeconds);
    if (ttlSeconds > 0) {
      // The oldest entry goes first: none is worth keeping for more than half a minute.
      keepNewest(cache, host, { addresses, until: startedAt + ttlSeconds * 1_000 }, MAX_CACHED);
    }
    return ok(addresses);
  }

  return (host) => {
    const cached = cache.get(host);
    const leftMs = (cached?.until ?? 0) - now();
    // A clock that was put back makes the time longer than any answer is kept.
    if (cached !== undefined && leftMs > 0 && leftMs <= MAX_TTL_SECONDS * 1_000) {
      return Promise.resolve(ok(cached.addresses));
    }
    cache.delete(host);
    let lookup = running.get(host);
    if (lookup === undefined) {
      lookup = lookUp(host).finally(() => running.delete(host));
      running.set(host, lookup);
    }
    return lookup;
  };
}

function fail(detail: string): { ok: false; error: ResolveError } {
  return err({ error: "dns_failure", detail });
}

async function ask(options: ResolverOptions, host: string, type: Type): Promise<Result<Found, ResolveError>> {
  const url = new URL(options.dohUrl);
  url.searchParams.set("name", host);
  url.searchParams.set("type", type === A ? "A" : "AAAA");
  const text = await get(url.href, options.fetch ?? ((input, init) => globalThis.fetch(input, init)));
  if (!text.ok) return text;
  const records = parseRecords(text.value);
  return records.ok ? follow(host, records.value) : records;
}

async function get(url: string, fetch: typeof globalThis.fetch): Promise<Result<string, ResolveError>> {
  const stop = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((settle) => {
    timer = setTimeout(() => {
      stop.abort();
      settle(undefined);
    }, TIMEOUT_MS);
  });
  try {
    const headers = { accept: "application/dns-json" };
    const asked = fetch(url, { headers, redirect: "manual", signal: stop.signal });
    const response = await Promise.race([asked, late]);
    if (response === undefined) return fail("the resolver did not answer in time");
    const { bytes, end } = await readAnswer(response, MAX_BYTES, late);
    if (response.status !== 200) return fail(`the resolver answered ${response.status}`);
    if (end !== "complete") return fail(`the resolver's answer ended early: ${end}`);
    return ok(new TextDecoder().decode(bytes));
  } catch {
    return fail("the resolver cannot be reached");
  } finally {
    clearTimeout(timer);
  }
}

/** The records of an answer that says all there is; RFC 8427 names the members, public resolvers made them common. */
function parseRecords(text: string): Result<DnsRecord[], ResolveError> {
  const answer = parseObject(text);
  if (typeof answer?.Status !== "number") return fail("the resolver's answer is no DNS message");
  // 3 is "no such name". Others are failures of a server on the way.
  if (answer.Status !== 0) return fail(`the resolver answered with code ${answer.Status}`);
  if (isTruncated(answer)) return fail("the resolver's answer is truncated");
  const list = answer.Answer ?? [];
  if (!Array.isArray(list) || list.length > MAX_RECORDS)
    return fail("the resolver's answer is no list of records");
  const records = list.flatMap(parseRecord);
  return records.length === list.length ? ok(records) : fail("the resolver's answer has a malformed record");
}

/** Resolvers write their JSON by hand: whatever is not plainly a no is a yes. */
function isTruncated(answer: Record<string, unknown>): boolean {
  return Object.entries(answer).some(([name, value]) => name.toUpperCase() === "TC" && Boolean(value));
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function parseRecord(value: unknown): DnsRecord[] {
  if (typeof value !== "object" || value === null) return [];
  const { name, type, TTL, data } = value as Record<string, unknown>;
  if (typeof name !== "string" || typeof type !== "number" || typeof data !== "string") return [];
  // Without a time to live it is good for once.
  const ttlSeconds = typeof TTL === "number" && TTL > 0 ? TTL : 0;
  if (type === CNAME) return [{ name: normal(name), type, ttlSeconds, data: normal(data) }];
  const length = type === A ? 4 : type === AAAA ? 16 : undefined;
  if (length !== undefined && parseAddress(data)?.length !== length) return [];
  return [{ name: normal(name), type, ttlSeconds, data }];
}

/**
 * Follows the aliases from `host`; a record that is not of their chain is none of an honest answer. Addresses count
 * in either family's answer: who connects may see more of it than was asked for.
 */
function follow(host: string, records: DnsRecord[]): Result<Found, ResolveError> {
  const links = records.filter((record) => record.type === CNAME);
  const aliases = new Map(links.map(({ name, data }) => [name, data]));
  const chain = [normal(host)];
  for (let next = aliases.get(chain[0] ?? ""); next !== undefined; next = aliases.get(next)) {
    if (chain.includes(next) || chain.length > MAX_ALIASES) return fail("the name's aliases do not end");
    if (findNameProblem(next) !== undefined) {
      return err({ error: "blocked_destination", detail: `the name is an alias of ${next}` });
    }
    chain.push(next);
  }
  if (aliases.size < links.length) return fail("a name has more than one alias");
  const found = records.filter(({ type }) => type === A || type === AAAA);
  const ours = [...links, ...found];
  if (!ours.every(({ name }) => chain.includes(name))) return fail("the resolver answered another question");
  return ok({
    addresses: found.map(({ data }) => data),
    ttlSeconds: Math.min(MAX_TTL_SECONDS, ...ours.map(({ ttlSeconds }) => ttlSeconds)),
  });
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
