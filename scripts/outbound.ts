// How requests of the Worker leave a machine of one's own when webhooks may not lead inside: over this process, which
// looks at the addresses that are really connected to.
//
// The Worker has asked DNS before, but a name can lead elsewhere a moment later. Here the name is resolved by the
// connection itself, and one address that is not public refuses it. Two parts: a small Worker in the same runtime that
// takes every outgoing request, and a handler in Node that makes the connection. The handler says why it failed in
// a header that it takes away from every real answer; the small Worker turns it into an error, which no receiver can
// forge (src/outbound/failure.ts reads it).

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { Agent, request as connect } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { pipeline } from "node:stream";
import type { V4WorkerOptions } from "miniflare";
import { type FetchFailure, SERVICE_ERROR } from "../src/outbound/failure.ts";
import { isPublicAddress } from "../src/outbound/guard.ts";
import { createFindByDns, type FindAddresses, findBySystem } from "./names.ts";

export type OutboundServiceOptions = {
  /** Reached wherever it is: the operator named it, and it alone, with its path. */
  dohUrl: string;
  compatibilityDate: string;
  /** How names are resolved when a connection is made; default: by DNS, and the resolver's as the system does. */
  findAddresses?: FindAddresses;
  /** Certificate authorities in PEM; default: those of Node, with NODE_EXTRA_CA_CERTS. */
  ca?: string[];
};

export type OutboundService = {
  /** For Miniflare: the Worker that every other one is given as its `outboundService`, by this name. */
  name: string;
  worker: V4WorkerOptions;
  /** Closes the connections that are kept. */
  close(): void;
};

const URL_HEADER = "a2a-edge-outbound-url";
const FAILURE_HEADER = "a2a-edge-outbound-failure";

const SCRIPT = `export default {
  async fetch(request, env) {
    const forwarded = new Request(request);
    forwarded.headers.set("${URL_HEADER}", request.url);
    const answer = await env.HANDLER.fetch(forwarded);
    const failure = answer.headers.get("${FAILURE_HEADER}");
    if (failure !== null) throw new Error("${SERVICE_ERROR}" + failure);
    return answer;
  },
};`;

export function createOutboundService(options: OutboundServiceOptions): OutboundService {
  const name = "a2a-edge-outbound";
  const { handle, close } = createOutboundHandler(options);
  const { compatibilityDate } = options;
  const serviceBindings = { HANDLER: { node: handle } };
  return { name, worker: { name, modules: true, script: SCRIPT, compatibilityDate, serviceBindings }, close };
}

/** Makes the request whose URL is in its header, and passes on the answer as it comes. */
export function createOutboundHandler(options: Omit<OutboundServiceOptions, "compatibilityDate">) {
  const { dohUrl, ca, findAddresses } = options;
  const resolver = withoutQuery(URL.parse(dohUrl));
  // Free connections are closed before most servers would: one that dies as it is taken costs an attempt.
  const settings = { keepAlive: true, timeout: 4_000, rejectUnauthorized: true, ...(ca && { ca }) };
  // Two pools: a connection to the resolver may lead inside, and is not for anybody else.
  const filtered = { agent: new Agent(settings), find: publicOnly(findAddresses ?? createFindByDns()) };
  const trusted = { agent: new Agent(settings), find: findAddresses ?? findBySystem };

  /** How `url` may be connected to; undefined: not at all. */
  function wayTo(url: URL): Way | undefined {
    if (url.protocol !== "https:") return undefined;
    if (withoutQuery(url) === resolver) return trusted;
    // A host that is an address is connected to without a lookup.
    const host = hostOf(url);
    return isIP(host) === 0 || isPublicAddress(host) ? filtered : undefined;
  }

  return {
    handle(incoming: IncomingMessage, outgoing: ServerResponse): void {
      const url = URL.parse(String(incoming.headers[URL_HEADER]));
      const way = url === null ? undefined : wayTo(url);
      if (url === null || way === undefined) refuse(incoming, outgoing, "blocked_destination");
      else forward(incoming, outgoing, url, way);
    },
    close() {
      filtered.agent.destroy();
      trusted.agent.destroy();
    },
  };
}

/** The connections that may be used again, and where new ones lead. */
type Way = { agent: Agent; find: FindAddresses };

function forward(incoming: IncomingMessage, outgoing: ServerResponse, url: URL, { agent, find }: Way): void {
  const over = new AbortController();
  const sent = connect({
    host: hostOf(url),
    port: url.port || 443,
    path: url.pathname + url.search,
    method: incoming.method ?? "GET",
    headers: { ...passed(incoming.headers), host: url.host },
    agent,
    lookup: toLookup(find, over.signal),
  });
  let inHandshake = false;
  sent.on("socket", (socket) => {
    // A connection that is used again has had its handshake: what waited for it would stay there for good.
    if (!socket.connecting) return;
    socket.once("connect", () => {
      inHandshake = true;
    });
    socket.once("secureConnect", () => {
      inHandshake = false;
    });
  });
  let received: IncomingMessage | undefined;
  sent.on("error", (error) => {
    // What comes after the end of an answer is none of it.
    if (!received?.complete) refuse(incoming, outgoing, classify(error, inHandshake));
  });
  sent.on("response", (answer) => {
    received = answer;
    try {
      passOn(answer, outgoing);
    } catch {
      // An error thrown here would end the process: a receiver must not be able to cause one.
      sent.destroy();
      refuse(incoming, outgoing, "network_error");
    }
  });
  // An answer that wants another protocol is none; Node tells of it by this event alone.
  sent.on("upgrade", (_answer, socket) => {
    socket.destroy();
    refuse(incoming, outgoing, "network_error");
  });
  // The Worker has lost interest: its time is over, or it has read enough.
  outgoing.on("close", () => {
    over.abort();
    sent.destroy();
  });
  incoming.on("error", () => sent.destroy());
  incoming.pipe(sent);
}

/** Throws for what is no answer: interim statuses that end a request, and those that HTTP does not have. */
function passOn(answer: IncomingMessage, outgoing: ServerResponse): void {
  const { statusCode = 0 } = answer;
  if (statusCode < 200) throw new Error(`${statusCode} is no status of an answer`);
  outgoing.writeHead(statusCode, passed(answer.headers));
  // A body that breaks off breaks off for the Worker as well.
  pipeline(answer, outgoing, () => {});
}

function refuse(incoming: IncomingMessage, outgoing: ServerResponse, failure: FetchFailure): void {
  incoming.resume();
  if (outgoing.headersSent) outgoing.destroy();
  else outgoing.writeHead(502, { [FAILURE_HEADER]: failure }).end();
}

class BlockedError extends Error {}
class UnresolvedError extends Error {}

/** Refuses a name if any of its addresses is not public, rather than choosing among them. */
function publicOnly(find: FindAddresses): FindAddresses {
  return async (host, signal) => {
    const addresses = await find(host, signal);
    if (addresses.every(({ address }) => isPublicAddress(address))) return addresses;
    throw new BlockedError(`${host} does not lead to public addresses alone`);
  };
}

/** As a connection wants it, which then uses no other addresses. */
function toLookup(find: FindAddresses, signal: AbortSignal): LookupFunction {
  return (host, { all }, callback) => {
    find(host, signal).then(
      (addresses) => {
        const [first] = addresses;
        if (first === undefined) callback(new UnresolvedError(`${host} has no address`), "");
        else if (all) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (cause: unknown) => {
        const isBlocked = cause instanceof BlockedError;
        callback(isBlocked ? cause : new UnresolvedError(`${host} cannot be resolved`, { cause }), "");
      },
    );
  };
}

function classify(error: NodeJS.ErrnoException, inHandshake: boolean): FetchFailure {
  if (error instanceof BlockedError) return "blocked_destination";
  if (error instanceof UnresolvedError) return "dns_failure";
  // A handshake also ends when the network does.
  const lost = /^(ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|ENETDOWN|EHOSTUNREACH)$/.test(error.code ?? "");
  return inHandshake && !lost ? "tls_error" : "network_error";
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function withoutQuery(url: URL | null): string | undefined {
  return url === null ? undefined : url.origin + url.pathname;
}

/** Of one connection only (RFC 9110 §7.6.1), or of the local runtime. */
const OWN_HEADERS = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "cf-worker",
  "mf-cf-blob",
  "mf-custom-node-service",
  URL_HEADER,
  FAILURE_HEADER,
]);

function passed(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_HEADERS.has(name)));
}
