// What a route of the operators' API is: the dispatcher and the OpenAPI document are loops over the same table.

import type { Operator } from "../auth/operator.ts";
import type { AdminScope } from "../auth/roles.ts";
import type { AdminDeps } from "./deps.ts";
import type { Fields, ValuesOf } from "./fields.ts";
import type { Described } from "./schemas.ts";

export type Call<F extends Fields> = {
  /** The variables of the path, decoded. */
  path: Readonly<Record<string, string>>;
  values: ValuesOf<F>;
  operator: Operator;
};

export type Route<F extends Fields = Fields, A = unknown> = {
  verb: "GET" | "POST" | "DELETE";
  /** `{name}` is a variable, which is one segment, perhaps with a `:verb` behind it. */
  path: string;
  summary: string;
  description?: string;
  /** What the operator must be allowed. */
  scope: AdminScope;
  /** Of a POST in a JSON body, of the others in the query. */
  fields: F;
  status: 200 | 201 | 202;
  answer: Described<A>;
  /** Of the answer, if it is not JSON; the handler then answers with a Response. */
  media?: string;
  handle(deps: AdminDeps, call: Call<F>): Promise<A>;
};

/** A route among others: what its fields and its answer are is its own business. */
export type AnyRoute = Omit<Route, "handle"> & {
  handle(deps: AdminDeps, call: Call<Fields>): Promise<unknown>;
};

/** One that is answered with 200, and needs `admin:read` if it is a GET, else `admin:write`, unless it says otherwise. */
export function route<F extends Fields, A>(
  spec: Omit<Route<F, A>, "status" | "scope"> & Partial<Pick<Route, "status" | "scope">>,
): AnyRoute {
  const scope = spec.verb === "GET" ? "admin:read" : "admin:write";
  // The dispatcher hands over only what was read by the fields of this very route.
  return { status: 200, scope, ...spec } as unknown as AnyRoute;
}

export type Matched = { verbs: ReadonlyMap<string, AnyRoute>; variables: Readonly<Record<string, string>> };

/**
 * The routes at a path of a URL, still percent-encoded: a `:` that belongs to a variable is encoded, one that begins
 * a verb is not. Undefined: there are none, or a variable is no percent-encoded UTF-8.
 */
export function matchRoutes(routes: readonly AnyRoute[], path: string): Matched | undefined {
  const segments = path.split("/");
  const fitting = routes.filter((candidate) => variablesOf(candidate.path, segments) !== undefined);
  // `/retry-jobs/1:pause` is also a `/retry-jobs/{id}` by its letters: the longer literal wins.
  const suffixed = fitting.filter((candidate) => candidate.path.includes("}:"));
  const found = suffixed.length > 0 ? suffixed : fitting;
  const [first] = found;
  const encoded = first && variablesOf(first.path, segments);
  if (encoded === undefined) return undefined;
  try {
    const variables = Object.entries(encoded).map(([name, value]) => [name, decodeURIComponent(value)]);
    return {
      verbs: new Map(found.map((candidate) => [candidate.verb, candidate])),
      variables: Object.fromEntries(variables),
    };
  } catch {
    return undefined;
  }
}

function variablesOf(template: string, segments: readonly string[]): Record<string, string> | undefined {
  const expected = template.split("/");
  if (expected.length !== segments.length) return undefined;
  const variables: Record<string, string> = {};
  for (const [i, part] of expected.entries()) {
    const segment = segments[i] ?? "";
    const [, name, suffix = ""] = /^\{(\w+)\}(.*)$/.exec(part) ?? [];
    if (name === undefined) {
      if (segment !== part) return undefined;
    } else if (segment.length > suffix.length && segment.endsWith(suffix)) {
      variables[name] = segment.slice(0, segment.length - suffix.length);
    } else return undefined;
  }
  return variables;
}
