// Finds the operation of a path (§11.3), from the operation table. A router's patterns were not enough: a path
// says `{id}:cancel` inside one segment, a known path with a wrong verb must be told from an unknown path, and
// a variable's percent-encoding is checked, not guessed at.

import { type OperationName, operations } from "../../protocol/operations.ts";
import type { Version } from "../../protocol/version.ts";

type Segment = { literal: string } | { variable: string; suffix: string };

type Route = { version: Version; name: OperationName; verb: string; segments: readonly Segment[] };

export type Match = {
  /** The agent's path segment, undefined at the root. */
  tenant: string | undefined;
  /** The version that has this path. */
  version: Version;
  /** The operation of each verb that the path has. */
  verbs: ReadonlyMap<string, OperationName>;
  /** The fields of the params that stand in the path. */
  variables: Readonly<Record<string, string>>;
};

/** What 0.3 calls otherwise than by the name of 1.0. */
const legacyPaths: Partial<Record<OperationName, string>> = { GetExtendedAgentCard: "/card" };

/** 0.3 has the paths of 1.0 below /v1, which is no agent's name. */
const routes: readonly Route[] = Object.entries(operations).flatMap(([key, { rest }]) => {
  const name = key as OperationName;
  return rest.flatMap(({ verb, path }) => [
    { version: "1.0" as const, name, verb, segments: split(path).map(toSegment) },
    {
      version: "0.3" as const,
      name,
      verb,
      segments: split(`/v1${legacyPaths[name] ?? path}`).map(toSegment),
    },
  ]);
});

/** The table's `{id}:cancel` is a variable with a suffix. */
function toSegment(text: string): Segment {
  const [, variable, suffix] = /^\{(\w+)\}(.*)$/.exec(text) ?? [];
  return variable === undefined ? { literal: text } : { variable, suffix: suffix ?? "" };
}

function split(path: string): string[] {
  return path.slice(1).split("/");
}

/**
 * The operations at `path` (of a URL, still percent-encoded), at the root or under an agent's segment; undefined
 * if it is none of theirs, "malformed" if a variable is no percent-encoded UTF-8.
 */
export function matchPath(path: string): Match | "malformed" | undefined {
  const segments = split(path);
  const atRoot = findRoutes(segments);
  const found = atRoot.length > 0 ? atRoot : findRoutes(segments.slice(1));
  const [first] = found;
  if (first === undefined) return undefined;
  try {
    return {
      tenant: found === atRoot ? undefined : decodeURIComponent(segments[0] ?? ""),
      version: first.version,
      verbs: new Map(found.map(({ verb, name }) => [verb, name])),
      variables: variablesOf(first, found === atRoot ? segments : segments.slice(1)),
    };
  } catch {
    return "malformed";
  }
}

/** `/tasks/1:cancel` is also a `/tasks/{id}` by its letters; the route that knows the suffix wins. */
function findRoutes(segments: readonly string[]): Route[] {
  const fitting = routes.filter((route) => fits(route, segments));
  const suffixed = fitting.filter((route) => route.segments.some((s) => "suffix" in s && s.suffix !== ""));
  return suffixed.length > 0 ? suffixed : fitting;
}

function fits(route: Route, segments: readonly string[]): boolean {
  return (
    route.segments.length === segments.length &&
    route.segments.every((segment, i) => {
      const text = segments[i] ?? "";
      if ("literal" in segment) return text === segment.literal;
      return text.length > segment.suffix.length && text.endsWith(segment.suffix);
    })
  );
}

function variablesOf(route: Route, segments: readonly string[]): Record<string, string> {
  const variables: Record<string, string> = {};
  route.segments.forEach((segment, i) => {
    const text = segments[i] ?? "";
    if ("literal" in segment) return;
    variables[segment.variable] = decodeURIComponent(text.slice(0, text.length - segment.suffix.length));
  });
  return variables;
}
