// The HTTP side, top to bottom: what every request passes, then every path there is.
//
// The transports ask for the caller themselves, because a refusal has the form of its transport; the other
// paths are public.

import { type Context, Hono } from "hono";
import type { Admin } from "./admin/admin.ts";
import type { Agent } from "./agents/agent.ts";
import type { RequireOperator } from "./auth/operator.ts";
import type { Sessions } from "./auth/sessions.ts";
import type { Config } from "./config.ts";
import type { SignCard } from "./operations/card-signatures.ts";
import { A2AError, failure } from "./protocol/errors.ts";
import { operations } from "./protocol/operations.ts";
import { EXPOSITION_TYPE } from "./telemetry/exposition.ts";
import { log } from "./telemetry/log.ts";
import { agentAtPath, baseUrl, type Deps } from "./transports/call.ts";
import { type CrossOrigin, createCrossOrigin } from "./transports/cross-origin.ts";
import { CARD_PATH, LEGACY_CARD_PATH, serveCard } from "./transports/discovery.ts";
import { toFailure } from "./transports/failure.ts";
import { serveIndex } from "./transports/index-page.ts";
import { handleJsonRpc } from "./transports/jsonrpc/handler.ts";
import { currentRest, type RestDialect, restDialectAt } from "./transports/rest/dialects.ts";
import { failed, handleRest } from "./transports/rest/handler.ts";
import { matchPath } from "./transports/rest/routes.ts";
import { createSessionPaths } from "./transports/sessions.ts";

export type AppDeps = Deps & {
  /** The state of each thing this server stands on: "ok", or what is wrong with it. */
  checkReady(): Promise<Record<string, string>>;
  /** The keys that verify our notifications (RFC 7517 §5). */
  jwks: object;
  /** What is counted, in the text format of Prometheus. */
  metrics(): Promise<string>;
  sessions: Sessions;
  requireOperator: RequireOperator;
  signCard: SignCard;
  /** Everything below /admin. */
  admin: Admin;
  now(): number;
};

type Settings = { Variables: { requestId: string } };
type Ctx = Context<Settings>;
type Handler = (c: Ctx) => Response | Promise<Response>;
type Next = () => Promise<void>;

export function createApp(deps: AppDeps): Hono<Settings> {
  const { config, agents } = deps;
  /** The settings of the cards, and since when. */
  let born: { config: Config; at: number } | undefined;

  const index: Handler = (c) => serveIndex(c.req.raw, agents, baseUrl(config, c.req.raw));
  const health: Handler = (c) => c.json({ status: "ok" }, 200, noStore);
  const ready: Handler = async (c) => {
    const checks = await deps.checkReady();
    const isReady = Object.values(checks).every((state) => state === "ok");
    return c.json({ status: isReady ? "ok" : "unavailable", checks }, isReady ? 200 : 503, noStore);
  };
  const jwks: Handler = (c) => c.json(deps.jwks, 200, { "cache-control": "public, max-age=300" });
  const metrics: Handler = async (c) => {
    await deps.requireOperator(c.req.raw, "admin:read");
    return c.body(await deps.metrics(), 200, { "content-type": EXPOSITION_TYPE, ...noStore });
  };
  const sessionPaths = createSessionPaths(deps);
  const sessions: Handler = async (c) => {
    const answer = await sessionPaths(c.req.raw);
    return answer instanceof Response ? answer : otherVerb(c, answer.verbs);
  };
  const admin: Handler = async (c) => {
    const answer = await deps.admin(c.req.raw);
    return answer instanceof Response ? answer : otherVerb(c, answer.verbs);
  };
  const card =
    (agent: Agent, version?: "0.3"): Handler =>
    (c) => {
      const { config } = deps;
      if (born?.config !== config) born = { config, at: deps.now() };
      return serveCard({
        request: c.req.raw,
        agent,
        config,
        signCard: deps.signCard,
        version,
        bornAt: born.at,
      });
    };
  const jsonRpc =
    (agentName?: string): Handler =>
    (c) =>
      handleJsonRpc(deps, { request: c.req.raw, agentName, requestId: c.get("requestId") });
  const rest: Handler = (c) => {
    // Some clients encode the colon of a custom verb.
    const path = new URL(c.req.url).pathname.replace(/%3a/gi, ":");
    const match = matchPath(path);
    if (match === undefined && c.req.method === "POST") {
      // One segment and no custom verb can only be meant as an agent, and a POST there as JSON-RPC.
      const agentName = /^\/([^/:]+)\/?$/.exec(c.req.path)?.[1];
      if (agentName !== undefined) return jsonRpc(agentName)(c);
    }
    const requestId = c.get("requestId");
    try {
      if (match === undefined) throw new A2AError("NOT_FOUND");
      if (match === "malformed") {
        throw new A2AError("INVALID_REQUEST", { message: "The path is not percent-encoded UTF-8" });
      }
      const name = match.verbs.get(c.req.method === "HEAD" ? "GET" : c.req.method);
      // A HEAD on a stream would open it only to throw it away.
      if (name === undefined || (c.req.method === "HEAD" && operations[name].streaming)) {
        agentAtPath(agents, match.tenant);
        return otherVerb(c, [...match.verbs.keys()], restDialectAt(path));
      }
      return handleRest(deps, { request: c.req.raw, match, name, requestId });
    } catch (error) {
      return failed(c.req.raw, toFailure(error, requestId), restDialectAt(path));
    }
  };

  const app = new Hono<Settings>();
  app.use(identify);
  app.use(guard(createCrossOrigin(config)));
  app.onError((error, c) => {
    const { raw } = c.req;
    // Asked only when something went wrong, since it costs as much as all else here.
    const thrown = URL.canParse(raw.url) ? error : new A2AError("INVALID_REQUEST", { message: NO_HOST });
    return failed(raw, toFailure(thrown, c.get("requestId")));
  });

  serve(app, "/", { GET: index, POST: jsonRpc() });
  serve(app, "/health", { GET: health });
  serve(app, "/ready", { GET: ready });
  app.use("/admin/*", plainJson);
  app.all("/admin/*", admin);
  app.use("/a2a/*", plainJson);
  app.all("/a2a/*", sessions);
  serve(app, "/metrics", { GET: metrics });
  serve(app, "/.well-known/jwks.json", { GET: jwks });
  serve(app, CARD_PATH, { GET: card(agents.default) });
  serve(app, LEGACY_CARD_PATH, { GET: card(agents.default, "0.3") });
  // By name and not by a pattern: the router finds a fixed path at once, and searches for any other.
  for (const agent of agents.list()) {
    const { name } = agent;
    serve(app, `/${name}${CARD_PATH}`, { GET: card(agent) });
    serve(app, `/${name}${LEGACY_CARD_PATH}`, { GET: card(agent, "0.3") });
    for (const path of [`/${name}`, `/${name}/`]) serve(app, path, { POST: jsonRpc(name) });
  }
  // /message:send, /tasks/{id} and so on, at the root and under /{agent}: see protocol/operations.
  app.all("*", rest);
  return app;
}

/**
 * The server of a configuration that is wrong: it refuses everything, also /health, so that no deployment is taken
 * for a working one, and says in the log of each request which setting it is.
 */
export function createRefusingApp(problems: readonly string[]): Hono<Settings> {
  const app = new Hono<Settings>();
  app.use(identify);
  app.all("*", (c) => {
    log("error", "the configuration is invalid, so every request is refused", { problems });
    return failed(c.req.raw, new A2AError("INTERNAL").failure);
  });
  return app;
}

const NO_HOST = "The Host of the request is no host name or address";

const noStore = { "cache-control": "no-store" };

/** Serves a path by verb; other verbs are answered with those it has, after `check` has found it to exist. */
function serve(
  app: Hono<Settings>,
  path: string,
  verbs: Record<string, Handler>,
  check?: (c: Ctx) => unknown,
): void {
  for (const [verb, handler] of Object.entries(verbs)) app.on(verb, path, handler);
  app.all(path, (c) => {
    check?.(c);
    return otherVerb(c, Object.keys(verbs));
  });
}

/** OPTIONS answers what there is; whether a page of another site may ask for it is decided by `guard`. */
function otherVerb(c: Ctx, verbs: readonly string[], dialect: RestDialect = currentRest): Response {
  const allow = [...(verbs.includes("GET") ? ["HEAD"] : []), ...verbs, "OPTIONS"].join(", ");
  if (c.req.method === "OPTIONS") return new Response(null, { status: 204, headers: { allow } });
  const response = failed(c.req.raw, failure("METHOD_NOT_ALLOWED"), dialect);
  response.headers.set("allow", allow);
  return response;
}

/** Operators speak JSON: errors have the form of the HTTP+JSON binding, not its media type. */
async function plainJson(c: Ctx, next: Next): Promise<void> {
  await next();
  if (c.res.headers.get("content-type") === "application/a2a+json") {
    c.res.headers.set("content-type", "application/json");
  }
}

const SANE_ID = /^[\w.-]{1,64}$/;

/** Gives each request an id, the client's own if it is one that can be written to a log. */
async function identify(c: Ctx, next: Next): Promise<void> {
  const given = c.req.header("x-request-id");
  const requestId = given !== undefined && SANE_ID.test(given) ? given : crypto.randomUUID();
  c.set("requestId", requestId);
  await next();
  c.res.headers.set("x-request-id", requestId);
  c.res.headers.set("x-content-type-options", "nosniff");
}

/** Refuses what comes by a page or a name that is not served here, and tells browsers what they may do with answers. */
function guard(rules: CrossOrigin) {
  return async (c: Ctx, next: Next): Promise<void> => {
    const { raw, path } = c.req;
    const refusal = rules.refusal(raw, path);
    if (refusal) c.res = failed(raw, refusal);
    else await next();
    rules.mark(raw, path, c.res.headers);
  };
}
