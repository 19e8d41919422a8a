// Where a request may go: rules on the URL, and on the addresses its name has. Pure: who resolves names is elsewhere.
//
// The rules on the URL are applied when it is configured and before every attempt; those on addresses before every
// attempt, because a name may lead elsewhere by then. What is not certainly public is refused.

import { err, ok, type Result } from "../lib/result.ts";
import { type Block, contains, parseAddress, parseBlock } from "./addresses.ts";
import { GLOBAL_UNICAST_IPV6, SPECIAL_IPV4, SPECIAL_IPV6, SPECIAL_NAMES } from "./special-purpose.ts";

export type UrlPolicy = {
  /** Any host, any port and plain http: for development on one machine. */
  allowPrivate: boolean;
  /** Ports that are allowed otherwise. */
  ports: readonly number[];
  /** Names this deployment itself answers at. */
  ownHosts: readonly string[];
};

/** What is wrong, as it may be told to the caller: "must be https". Never holds an address that a name resolved to. */
export type UrlProblem = { description: string };

const MAX_URL_LENGTH = 2_048;

/** Checks a URL without resolving its name. The one returned has no fragment, and no dot at the end of its host. */
export function checkUrl(text: string, policy: UrlPolicy): Result<URL, UrlProblem> {
  const url = parseUrl(text, policy.allowPrivate ? ["http", "https"] : ["https"]);
  if (!url.ok || policy.allowPrivate) return url;
  const problem = findPortProblem(url.value, policy) ?? findHostProblem(url.value.hostname, policy);
  return problem === undefined ? url : err({ description: problem });
}

/** Whether `address` (as text) is one that anybody on the Internet may reach. */
export function isPublicAddress(address: string): boolean {
  const parsed = parseAddress(address);
  if (parsed === undefined) return false;
  if (parsed.length === 16 && !contains(globalUnicast, parsed)) return false;
  return !specialBlocks.some((block) => contains(block, parsed));
}

/** Why no receiver on the Internet has this name (without a dot at its end), whatever it resolves to; undefined: it may. */
export function findNameProblem(name: string): string | undefined {
  const labels = name.toLowerCase().split(".");
  if (labels.length < 2) return "must have a host with a domain";
  // Underscores are no part of host names (RFC 952), but names with them exist and resolve.
  if (
    labels.join(".").length > 253 ||
    !labels.every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label))
  ) {
    return "must have a valid host name";
  }
  const special = SPECIAL_NAMES.find(
    ({ name: end }) => labels.slice(-end.split(".").length).join(".") === end,
  );
  if (special !== undefined)
    return `must not have a host under .${special.name}, which is not on the Internet`;
  // Only an address ends in a number: the URL standard reads no other name that way (§3.5).
  return /^\d+$/.test(labels.at(-1) ?? "") ? "must name its host instead of giving an IP address" : undefined;
}

const specialBlocks = [...SPECIAL_IPV4, ...SPECIAL_IPV6].map(({ block }) => toBlock(block));
const globalUnicast = toBlock(GLOBAL_UNICAST_IPV6);

/** A row of the table that cannot be read would be a hole in the guard. */
function toBlock(text: string): Block {
  const block = parseBlock(text);
  if (block === undefined) throw new Error(`${text} is no block of addresses`);
  return block;
}

function parseUrl(text: string, schemes: readonly string[]): Result<URL, UrlProblem> {
  const refuse = (description: string) => err({ description });
  if (text.length > MAX_URL_LENGTH) return refuse(`must have at most ${MAX_URL_LENGTH} characters`);
  // URL parsers drop some of these and turn others into slashes, and not all of them alike.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u0020\u007f\\]/.test(text)) {
    return refuse("must not contain spaces, control characters or backslashes");
  }
  const authority = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]+)/i.exec(text)?.[1];
  const url = URL.parse(text);
  if (authority === undefined || url === null) return refuse("must be an absolute URL with a host");
  if (!schemes.includes(url.protocol.slice(0, -1))) return refuse(`must be ${schemes.join(" or ")}`);
  if (authority.includes("@")) return refuse("must not contain a user name or password");
  if (authority.includes("%")) return refuse("must not have percent-encoding in its host");
  // Parsing reads it again, and leaves it as it is where it cannot be.
  url.hostname = withoutFinalDot(url.hostname);
  url.hash = "";
  // International names and other characters grow when they are written in ASCII.
  if (url.href.length > MAX_URL_LENGTH) return refuse(`must have at most ${MAX_URL_LENGTH} characters`);
  return ok(url);
}

function findPortProblem(url: URL, { ports }: UrlPolicy): string | undefined {
  const port = url.port === "" ? 443 : Number(url.port);
  return ports.includes(port) ? undefined : `must be at port ${ports.join(" or ")}`;
}

function findHostProblem(host: string, { ownHosts }: UrlPolicy): string | undefined {
  if (host.startsWith("[")) return "must name its host instead of giving an IP address";
  if (ownHosts.some((own) => withoutFinalDot(own.toLowerCase()) === host))
    return "must not lead to this server";
  return findNameProblem(host);
}

function withoutFinalDot(host: string): string {
  return host.endsWith(".") ? host.slice(0, -1) : host;
}
