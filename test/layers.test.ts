// The floors of the house, read from the imports of every file: a file imports from its own folder and from lower
// floors, never from a higher one or from a sibling on its own. And what may be done only on certain floors.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";

declare global {
  namespace Cloudflare {
    interface Env {
      TEST_SOURCES: Record<string, string>;
    }
  }
}

const sources = new Map(Object.entries(env.TEST_SOURCES).filter(([path]) => path !== "env.d.ts"));

/** Each file of src without its comments, by its path below src. */
const files = new Map([...sources].map(([path, text]) => [path, withoutComments(text)]));

/** Lower floors first. Files in src itself stand on top, in the order in which they may import each other. */
const floors: readonly (readonly string[])[] = [
  ["lib"],
  ["protocol", "telemetry", "outbound", "keys"],
  ["agents", "store"],
  ["auth", "delivery", "audit"],
  ["tasks"],
  ["operations"],
  ["transports", "admin"],
  ["app.ts"],
  ["background.ts"],
  ["index.ts"],
];

/** What everybody may know of the settings, and nobody below loads. */
const settings = ["config.ts", "issuers.ts", "setting-schemas.ts"];

type Import = { from: string; to: string; isType: boolean };

/** Line comments only where a line begins with one, so that the // of an address in a text stays. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

function folderOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : path;
}

function floorOf(folder: string): number {
  return floors.findIndex((floor) => floor.includes(folder));
}

/** What receivers of webhooks use: published beside the server, and no part of it. */
const published = "verify";

function isOfServer(folder: string): boolean {
  return folder !== published;
}

/** Where a relative import leads, as a path below src. */
function resolve(from: string, specifier: string): string {
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

const imports: Import[] = [...files].flatMap(([from, text]) =>
  [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s+(type\s)?[^;]*?from\s+"(\.[^"]+)"/g)].map(
    ([, type, specifier]) => ({
      from,
      to: resolve(from, specifier ?? ""),
      isType: type !== undefined,
    }),
  ),
);

/** The lines of all files that a pattern finds, as `path: text`. */
function linesWith(pattern: RegExp): string[] {
  return [...files].flatMap(([path, text]) =>
    text
      .split("\n")
      .filter((line) => pattern.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
}

const outside = (lines: string[], ...allowed: string[]) =>
  lines.filter((line) => !allowed.some((prefix) => line.startsWith(prefix)));

describe("the house", () => {
  it("has files on every floor, and no folder that is on none", () => {
    const folders = new Set([...files.keys()].map(folderOf));
    expect([...folders].filter((folder) => isOfServer(folder) && floorOf(folder) === -1)).toEqual(settings);
    for (const folder of floors.flat()) expect(folders, folder).toContain(folder);
  });

  it("is read by these tests: imports are found, of all kinds", () => {
    expect(imports.length).toBeGreaterThan(200);
    expect(imports.some(({ isType }) => isType)).toBe(true);
    for (const { from, to } of imports) {
      expect(files.has(to) || to === "package.json", `${from} imports ${to}`).toBe(true);
    }
    // Nothing is imported in another way than those that are read here.
    const others = [...files.values()].join("\n").match(/\bimport\(|\brequire\(|import\s+"\./g);
    expect(others).toBeNull();
    const total = [...files.values()].join("\n").match(/\bfrom\s+"\./g)?.length;
    expect(imports).toHaveLength(total ?? 0);
  });

  it("imports downwards only, and from no sibling on the same floor", () => {
    const wrong = imports.filter(({ from, to }) => {
      const [above, below] = [folderOf(from), folderOf(to)];
      if (settings.includes(above) || settings.includes(below) || below === "package.json" || above === below)
        return false;
      return floorOf(below) >= floorOf(above);
    });
    expect(wrong).toEqual([]);
  });

  it("gives config to everybody as a type, and lets it be loaded only where the platform hands over its env", () => {
    const loading = imports.filter(
      ({ from, to, isType }) => settings.includes(to) && !settings.includes(from) && !isType,
    );
    const entrances = [...files].filter(([, text]) =>
      /extends (DurableObject|WorkflowEntrypoint)</.test(text),
    );
    // What counts needs no settings.
    const isPlain = (path: string) => path.startsWith("telemetry/") || path.startsWith("audit/");
    const withSettings = entrances.map(([path]) => path).filter((path) => !isPlain(path));
    expect(loading.map(({ from }) => from).toSorted()).toEqual(["index.ts", ...withSettings].toSorted());
  });

  it("publishes what receivers use as something that stands alone", () => {
    const crossing = imports.filter(
      ({ from, to }) => (folderOf(from) === published) !== (folderOf(to) === published),
    );
    expect(crossing).toEqual([]);
  });

  it("keeps config itself on the ground floor", () => {
    const own = imports.filter(({ from }) => settings.includes(from));
    expect(own.filter(({ to }) => folderOf(to) !== "lib" && !settings.includes(to))).toEqual([]);
  });

  it("has no two files that import each other for more than types", () => {
    const values = new Set(imports.filter(({ isType }) => !isType).map(({ from, to }) => `${from} > ${to}`));
    expect([...values].filter((pair) => values.has(pair.split(" > ").toReversed().join(" > ")))).toEqual([]);
  });

  it("speaks to packages and to the platform in few places", () => {
    const packages = linesWith(/from\s+"[^."]/).map((line) => line.replace(/: .*from\s+"([^"]+)".*/, ": $1"));
    expect(
      outside(
        packages.filter((line) => line.endsWith(": hono")),
        "app.ts",
        "admin/",
      ),
    ).toEqual([]);
    expect(
      outside(
        packages.filter((line) => line.endsWith(": zod/mini")),
        "protocol/",
        ...settings,
        "admin/",
      ),
    ).toEqual([]);
    expect(
      outside(
        packages.filter((line) => line.includes("cloudflare:")),
        "agents/workflow.ts",
        "tasks/",
        "delivery/endpoint.ts",
        "delivery/limits.ts",
        "telemetry/metrics-object.ts",
        "audit/audit-object.ts",
        // waitUntil, for what goes on when a request has been answered.
        "index.ts: cloudflare:workers",
      ),
    ).toEqual([]);
    const known = /: (hono|jose|zod\/mini|cloudflare:(workers|workflows)|node:(async_hooks|crypto))$/;
    expect(packages.filter((line) => !known.test(line))).toEqual([]);
  });
});

/** Durable Objects beside the home. */
const otherStorage = [
  "delivery/endpoint.ts",
  "delivery/endpoint-state.ts",
  "delivery/limits.ts",
  "telemetry/metrics-object.ts",
  "audit/chain.ts",
  "audit/audit-object.ts",
];

describe("what is done in one place only", () => {
  it("SQL on D1 stands in store/", () => {
    const found = linesWith(/\.(prepare|batch)\(|\bDB\.exec\(/);
    expect(found.length).toBeGreaterThan(0);
    expect(outside(found, "store/")).toEqual([]);
  });

  it("SQL on object storage stands in tasks/, and with the other objects that keep something", () => {
    const found = linesWith(/sql\s*\.exec|\bSqlStorage\b|#sql\b/);
    expect(found.length).toBeGreaterThan(0);
    expect(outside(found, "tasks/", ...otherStorage)).toEqual([]);
  });

  it("and no statement of SQL stands anywhere else", () => {
    const found = linesWith(/\b(SELECT|INSERT|UPDATE|DELETE)\b.*\b(FROM|INTO|SET|VALUES|[0-9?])/);
    expect(found.length).toBeGreaterThan(10);
    expect(outside(found, "store/", "tasks/", ...otherStorage)).toEqual([]);
  });

  it("the world is reached by outbound/ alone", () => {
    const found = linesWith(/(?<![.\w#])fetch\(|globalThis\.fetch|\bconnect\(|new WebSocket\(/);
    expect(outside(found, "outbound/").length).toBeLessThan(found.length);
    // The Worker's own handler is a method of this name, and receivers bring their own keys' address.
    const others = outside(found, "outbound/", "verify/");
    expect(others.filter((line) => line !== "index.ts: fetch(request, env, ctx) {")).toEqual([]);
  });

  it("Request and Response stand in app, transports, auth and the one function that reads a body", () => {
    const found = linesWith(/(?<![\w.$"'`])(Request|Response|Headers|Context)\b(?!["'`])/);
    expect(found.length).toBeGreaterThan(20);
    expect(
      outside(
        found,
        "app.ts",
        "transports/",
        "admin/",
        "auth/",
        "outbound/",
        "verify/",
        "lib/read-limited.ts",
      ),
    ).toEqual([]);
  });

  it("Env stands at the edges", () => {
    expect(
      outside(
        linesWith(/\bEnv\b/),
        "index.ts",
        "agents/workflow.ts",
        "tasks/home.ts",
        "tasks/parts.ts",
        ...otherStorage,
      ),
    ).toEqual([]);
  });

  it("numbers of errors stand in transports", () => {
    expect(outside(linesWith(/-32\d{3}\b/), "transports/")).toEqual([]);
  });

  it("nothing below the transports knows a header or a status", () => {
    const below = linesWith(/\bstatus: [2345]\d\d\b|headers\.get\(/);
    const above = ["app.ts", "transports/", "admin/", "auth/", "outbound/", "verify/", "lib/read-limited.ts"];
    expect(outside(below, ...above)).toEqual([]);
  });

  it("the log is written by telemetry alone", () => {
    expect(outside(linesWith(/\bconsole\./), "telemetry/")).toEqual([]);
  });

  it("the core speaks one version: older forms stand in their own folders, which only what speaks to clients uses", () => {
    const legacy = linesWith(/"(message\/send|tasks\/get|input-required|status-update|artifact-update)"/);
    expect(outside(legacy, "transports/", "protocol/v0_", "protocol/operations.ts", "verify/")).toEqual([]);
    const users = imports.filter(
      ({ from, to }) => to.startsWith("protocol/v0_") && !from.startsWith("protocol/v0_"),
    );
    expect(
      outside(
        users.map(({ from }) => from),
        "transports/",
        "delivery/",
      ),
    ).toEqual([]);
  });
});

describe("every file", () => {
  it("opens by saying what it is for", () => {
    for (const [path, text] of sources) expect(text.startsWith("// "), path).toBe(true);
  });

  it("has a name that says something, in kebab-case", () => {
    for (const [path] of sources) {
      const name = path.split("/").at(-1) ?? "";
      expect(name, path).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*\.ts$/);
      expect(name, path).not.toMatch(/util|helper|manager|common|misc/);
    }
  });

  it("hides the methods that RPC could reach by #, never by a keyword that is gone at runtime", () => {
    expect(linesWith(/^\s*(private|protected|public)\s/)).toEqual([]);
  });

  it("has nothing left to do", () => {
    for (const [path, text] of sources) expect(text, path).not.toMatch(/\b(TODO|FIXME|XXX|HACK)\b/);
  });
});
