// The OpenAPI document of the operators' API, made from the table of routes: what it says is what is served.

import packageJson from "../../package.json";
import type { Field, Fields } from "./fields.ts";
import { type AnyRoute, route } from "./routes.ts";
import { type Described, ErrorAnswer, type Json, namedSchemas, OpenApi, type TypeOf } from "./schemas.ts";

/** What every request may be answered with. */
const errors: Readonly<Record<string, string>> = {
  400: "The request is wrong, or not possible in this state.",
  401: "The operator's credential is missing or not valid.",
  403: "The credential lacks the scope that the operation names.",
  404: "There is no such thing.",
  408: "The body has not come in time.",
  413: "The body is too large.",
  429: "Requests without a valid credential have come from this address too often.",
  500: "A bug. The server's log has more under the request's id.",
  503: "What holds the answer cannot be reached now.",
};

/** Of those answers that say when to try again. */
const retryAfter = { "Retry-After": { description: "In seconds.", schema: { type: "integer", minimum: 0 } } };
const withRetryAfter: readonly string[] = ["429", "503"];

const CREDENTIALS =
  "ADMIN_KEY, or a credential with the scope of operators that the operation names; `admin:*` has all of them.";

const variables: Readonly<Record<string, string>> = {
  owner: "The owner, as lists show it.",
  origin: "Scheme, host and port, percent-encoded: `https%3A%2F%2Fhooks.example.com`.",
  home: "The home that holds the config, as lists show it.",
  task: "The id of its task.",
  config: "The id of the config.",
  id: "As lists show it.",
  chain: "The chain, as entries show it.",
  name: "The role's name.",
  flag: "The flag's name.",
};

/** The route that serves the document of `routes`, itself included. */
export function documentRoute(routes: readonly AnyRoute[]): AnyRoute {
  let document: TypeOf<typeof OpenApi> | undefined;
  const own = route({
    verb: "GET",
    path: "/admin/v1/openapi.json",
    summary: "Get this document",
    fields: {},
    answer: OpenApi,
    async handle() {
      document ??= toDocument([...routes, own]);
      return document;
    },
  });
  return own;
}

function toDocument(routes: readonly AnyRoute[]): TypeOf<typeof OpenApi> {
  const paths: Record<string, Json> = {};
  for (const each of routes) {
    paths[each.path] = { ...paths[each.path], [each.verb.toLowerCase()]: toOperation(each) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "a2a-edge: operators' API",
      version: packageJson.version,
      description:
        "Webhooks of all owners: endpoints, configs, deliveries, dead letters. See docs/operations.md.",
      license: { name: packageJson.license, identifier: packageJson.license },
    },
    servers: [{ url: "/" }],
    paths,
    components: {
      securitySchemes: { operator: { type: "http", scheme: "bearer", description: CREDENTIALS } },
      schemas: namedSchemas(),
    },
  };
}

function toOperation(each: AnyRoute): Json {
  const { verb, path, summary, description, scope, fields, status, answer, media } = each;
  const hasBody = verb === "POST";
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
      ...{ name, in: "path", required: true },
      ...{ description: variables[name], schema: { type: "string", minLength: 1 } },
    })),
    ...(hasBody ? [] : Object.entries(fields)).map(([name, field]) => toParameter(name, field)),
  ];
  const responses: Record<string, Json> = { [status]: toResponse("It is done.", answer, media) };
  for (const [code, what] of Object.entries(errors)) {
    const headers = withRetryAfter.includes(code) && { headers: retryAfter };
    responses[code] = { ...toResponse(what, ErrorAnswer), ...headers };
  }
  return {
    operationId: operationId(each),
    summary,
    ...(description && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(hasBody && Object.keys(fields).length > 0 && { requestBody: toBody(fields) }),
    security: [{ operator: [scope] }],
    responses,
  };
}

function toParameter(name: string, { json, description, required }: Field): Json {
  return { name, in: "query", required, description, schema: json };
}

function toBody(fields: Fields): Json {
  const required = Object.keys(fields).filter((name) => fields[name]?.required);
  const properties = Object.entries(fields).map(([name, { json, description }]) => [
    name,
    { ...json, description },
  ]);
  const schema = {
    type: "object",
    properties: Object.fromEntries(properties),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
  return { required: required.length > 0, content: { "application/json": { schema } } };
}

function toResponse(description: string, { json }: Described<unknown>, media = "application/json"): Json {
  return { description, content: { [media]: { schema: json } } };
}

/** `GET /admin/v1/retry-jobs/{id}` is getRetryJobsById, and `POST …:pause` of it postRetryJobsByIdPause. */
function operationId({ verb, path }: AnyRoute): string {
  const words = path
    .replace("/admin/v1/", "")
    .replace(/\{(\w+)\}/g, "by-$1")
    .split(/[^A-Za-z0-9]+/);
  const capitals = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  return verb.toLowerCase() + capitals.join("");
}
