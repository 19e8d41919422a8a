// The operators' API under /admin/v1. Every request passes the same way: route, operator, fields, handler. What goes
// wrong is thrown as an A2AError, and answered like everywhere else by the app.

import { log } from "../telemetry/log.ts";
import { analyticsRoutes } from "./analytics.ts";
import { apiKeyRoutes } from "./api-keys.ts";
import { auditRoutes } from "./audit.ts";
import { readJsonBody } from "./body.ts";
import { configRoutes } from "./configs.ts";
import { deadLetterRoutes } from "./dead-letters.ts";
import { deliveryRoutes } from "./deliveries.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { endpointRoutes } from "./endpoints.ts";
import { readFields } from "./fields.ts";
import { flagRoutes } from "./flags.ts";
import { documentRoute } from "./openapi.ts";
import { ownerErasureRoutes } from "./owner-erasure.ts";
import { ownerExportRoutes } from "./owner-export.ts";
import { ownerRoutes } from "./owners.ts";
import { recordMade, recordRequest } from "./recording.ts";
import { retentionRoutes } from "./retention.ts";
import { retryJobRoutes } from "./retry-jobs.ts";
import { roleRoutes } from "./roles.ts";
import { matchRoutes } from "./routes.ts";
import { sessionRoutes } from "./sessions.ts";

const routes = [
  ...endpointRoutes,
  ...configRoutes,
  ...deliveryRoutes,
  ...deadLetterRoutes,
  ...retryJobRoutes,
  ...analyticsRoutes,
  ...retentionRoutes,
  ...auditRoutes,
  ...apiKeyRoutes,
  ...roleRoutes,
  ...ownerRoutes,
  ...ownerExportRoutes,
  ...ownerErasureRoutes,
  ...sessionRoutes,
  ...flagRoutes,
];

/** All routes, for the test that compares them with the document. */
export const adminRoutes = [...routes, documentRoute(routes)];

/** The verbs of a path that is there and does not have the request's. */
export type OtherVerbs = { verbs: string[] };

export type Admin = (request: Request) => Promise<Response | OtherVerbs>;

/** Creates the operators' API; it throws an A2AError where a request is refused. */
export function createAdmin(deps: AdminDeps): Admin {
  return async (request) => {
    const url = new URL(request.url);
    const matched = matchRoutes(adminRoutes, url.pathname);
    const found = matched?.verbs.get(request.method === "HEAD" ? "GET" : request.method);
    // Which paths and verbs there are is told to operators only.
    const operator = await deps.requireOperator(request, found?.scope ?? "admin:read");
    if (!matched) throw notFound("path");
    if (!found) return { verbs: [...matched.verbs.keys()] };
    const query = [...url.searchParams];
    const isPost = found.verb === "POST";
    // A POST says what it wants in its body.
    if (isPost) readFields({}, query);
    const values = readFields(found.fields, isPost ? await readJsonBody(request, deps.config) : query);
    const asked = { operator, route: found, path: matched.variables, values };
    // Exports only read, but whole owners.
    if (found.verb !== "GET" || found.media !== undefined) await recordRequest(deps, asked);
    const answer = await found.handle(deps, { path: matched.variables, values, operator });
    if (answer instanceof Response) return answer;
    if (found.verb === "POST" && found.status !== 200) await recordMade(deps, asked, answer);
    if (found.verb !== "GET") {
      const { actor } = operator;
      log("info", "an operator's request", {
        actor,
        verb: found.verb,
        path: found.path,
        ...matched.variables,
      });
    }
    return new Response(JSON.stringify(answer), {
      status: found.status,
      headers: { "content-type": "application/json", "cache-control": "no-store" },
    });
  };
}
