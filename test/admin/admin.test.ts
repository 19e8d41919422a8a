// What every request of the operators' API passes: the key, the route, the fields; and the document of all of it.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import guide from "../../docs/operations.md?raw";
import { type AnyRoute, matchRoutes } from "../../src/admin/routes.ts";
import { sessionActor, toOwner } from "../../src/auth/caller.ts";
import { saveAttempts } from "../../src/store/attempts.ts";
import { saveConfigs } from "../../src/store/push-configs.ts";
import { attemptRow, configRow } from "../store/rows.ts";
import { createTrickle } from "../support/trickle.ts";
import { adminRoutes, createOperator, type Document, operationAt, startAfresh } from "./operator.ts";

beforeEach(startAfresh);
afterEach(() => void vi.restoreAllMocks());

describe("the key", () => {
  const { send, deps } = createOperator();
  const key = deps.config.adminKey;

  it.each([
    ["none", ""],
    ["an empty one", "Bearer "],
    ["a wrong one", `Bearer ${"x".repeat(key.length)}`],
    ["one that is longer", `Bearer ${key}0`],
    ["its beginning", `Bearer ${key.slice(0, -1)}`],
    ["another scheme", `Basic ${key}`],
    ["the bare key", key],
    ["a caller's key", "Bearer a2a_0123456789abcdef0123"],
  ])("refuses %s, at paths that are there and at others", async (_, authorization) => {
    for (const path of ["/admin/v1/endpoints", "/admin/v1/nothing", "/admin/v1/openapi.json"]) {
      const response = await send(path, { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toContain("Bearer");
      expect(await response.json()).toMatchObject({ error: { code: 401, status: "UNAUTHENTICATED" } });
    }
  });

  it("is asked for before anything is done", async () => {
    const endpoint = "/admin/v1/endpoints/open%3A%3Aowner/https%3A%2F%2Fhooks.example:pause";
    await saveConfigs(deps.db, [configRow()]);
    const operator = createOperator();
    const response = await operator.send(endpoint, {
      method: "POST",
      headers: { authorization: "Bearer x" },
    });
    expect(response.status).toBe(401);
    expect(operator.endpoints).toEqual({});
  });

  it("opens with any case of the scheme", async () => {
    const response = await send("/admin/v1/endpoints", { headers: { authorization: `bEaReR ${key}` } });
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("content-type")).toBe("application/json");
  });
});

describe("routes", () => {
  const operator = createOperator();

  it.each([
    "",
    "/",
    "/nothing",
    "/endpoints/",
    "/endpoints/a",
    "/endpoints/a/b/c",
    "/endpoints//b",
    "/endpoints/%ff/b",
    "/dead-letters/",
    "/dead-letters/%:retry",
    "/retention:nothing",
    "/openapi.jsonx",
    "/../v2/endpoints",
  ])("answers 404 at /admin/v1%s", async (path) => {
    const response = await operator.send(`/admin/v1${path}`, { method: "POST" });
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ error: { status: "NOT_FOUND" } });
  });

  it.each([
    ["DELETE", "/endpoints", "GET"],
    ["POST", "/deliveries", "GET"],
    ["GET", "/retention:trim", "POST"],
    ["GET", "/dead-letters/msg_1:retry", "POST"],
    ["PUT", "/retry-jobs", "GET, POST"],
  ])("says which verbs there are: %s %s", async (method, path, allow) => {
    const response = await operator.send(`/admin/v1${path}`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")?.split(", ").sort()).toEqual(allow.split(", ").sort());
  });

  it("answers HEAD like GET", async () => {
    expect((await operator.send("/admin/v1/endpoints", { method: "HEAD" })).status).toBe(200);
    expect((await operator.send("/admin/v1/replays", { method: "HEAD" })).status).toBe(405);
  });

  it("takes a colon that belongs to a variable when it is encoded, and a verb when it is not", () => {
    const routes = ["/a/{id}", "/a/{id}:pause"].map((path) => ({ path, verb: "GET" }) as unknown as AnyRoute);
    const match = (path: string) => {
      const matched = matchRoutes(routes, path);
      return matched && [matched.verbs.get("GET")?.path, matched.variables.id];
    };
    expect(match("/a/x:pause")).toEqual(["/a/{id}:pause", "x"]);
    expect(match("/a/x%3Apause")).toEqual(["/a/{id}", "x:pause"]);
    expect(match("/a/x%3Apause:pause")).toEqual(["/a/{id}:pause", "x:pause"]);
    expect(match("/a/%2F%C3%BC")).toEqual(["/a/{id}", "/ü"]);
    expect(match("/a/x:resume")).toEqual(["/a/{id}", "x:resume"]);
    expect(match("/b/x")).toBeUndefined();
  });

  it("logs what is done, without the body", async () => {
    const logged = vi.spyOn(console, "info").mockImplementation(() => {});
    await saveConfigs(operator.deps.db, [configRow()]);
    await operator.result("POST", "/configs/home/0-task/config:rotateSecret", { secret: "0123456789abcdef" });
    const lines = logged.mock.calls.map(([line]) => String(line)).join();
    expect(lines).toContain("rotateSecret");
    expect(lines).toContain("0-task");
    expect(lines).not.toContain("0123456789abcdef");
  });

  it("answers a bug with 500 and nothing of it", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = createOperator({
      endpoint: { health: () => Promise.reject(new Error("hunter2")) },
    });
    await saveConfigs(broken.deps.db, [configRow()]);
    const response = await broken.send("/admin/v1/endpoints/open%3A%3Aowner/https%3A%2F%2Fhooks.example");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("hunter2");
  });

  it.each(["retryable", "overloaded"])("answers 503 when an object is %s", async (kind) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = createOperator({
      endpoint: { health: () => Promise.reject(Object.assign(new Error("gone"), { [kind]: true })) },
    });
    await saveConfigs(broken.deps.db, [configRow()]);
    const answer = await broken.call("GET", "/endpoints/open%3A%3Aowner/https%3A%2F%2Fhooks.example");
    expect(answer.status).toBe(503);
  });
});

describe("fields", () => {
  const operator = createOperator();

  it.each([
    ["a parameter that is none", "/deliveries?owners=x", "owners"],
    ["one of the prototype", "/deliveries?constructor=x", "constructor"],
    ["one given twice", "/deliveries?owner=a&owner=b", "owner"],
    ["an empty one", "/deliveries?owner=", "owner"],
    ["one that is too long", `/deliveries?owner=${"x".repeat(8_193)}`, "owner"],
    ["a number that is none", "/deliveries?status=abc", "status"],
    ["a number out of range", "/deliveries?status=99", "status"],
    ["a fraction", "/deliveries?pageSize=1.5", "pageSize"],
    ["a page of nothing", "/deliveries?pageSize=0", "pageSize"],
    ["a page of 101", "/deliveries?pageSize=101", "pageSize"],
    ["a time that is none", "/deliveries?from=yesterday", "from"],
    ["a day that is none", "/deliveries?from=2026-02-30T00:00:00Z", "from"],
    ["a choice that is none", "/deliveries?outcome=dead", "outcome"],
    ["a choice of the prototype", "/deliveries?outcome=toString", "outcome"],
    ["a config without its task", "/deliveries?config=c", "config"],
    ["a token that is no base64", "/deliveries?pageToken=!!!", "pageToken"],
    ["a token of rubbish", "/deliveries?pageToken=Z2FyYmFnZQ", "pageToken"],
    ["a token that was forged", `/deliveries?pageToken=${btoa('[1,2,"0000000000000000"]')}`, "pageToken"],
    ["a token of another form", `/deliveries?pageToken=${btoa("[null,{},[]]")}`, "pageToken"],
    ["a token of nothing", `/deliveries?pageToken=${btoa("[]")}`, "pageToken"],
  ])("refuses %s", async (_, path, field) => {
    expect(await operator.refusal("GET", path)).toMatchObject({
      status: 400,
      reason: "INVALID_PARAMS",
      fields: [field],
    });
  });

  it("refuses all that is wrong at once, and no more than can be read", async () => {
    const wrong = await operator.refusal("GET", "/deliveries?status=x&from=y&colour=blue");
    expect(wrong.fields).toEqual(["status", "from", "colour"]);
    const names = Array.from({ length: 100 }, (_, i) => `x${i}=1`).join("&");
    expect((await operator.refusal("GET", `/deliveries?${names}`)).fields).toHaveLength(20);
  });

  it("takes times with any offset, and numbers as they are written", async () => {
    await saveAttempts(operator.deps.db, [attemptRow({ startedAt: Date.parse("2026-01-01T00:30:00Z") })]);
    const path = `/deliveries?from=${encodeURIComponent("2026-01-01T01:30:00+01:00")}&status=200`;
    expect(await operator.result("GET", path)).toMatchObject({ deliveries: [{ status: 200 }] });
  });

  const post = (body: string, headers: Record<string, string> = { "content-type": "application/json" }) =>
    operator.send("/admin/v1/replays", { method: "POST", headers, body });

  it.each([
    ["no JSON", "{", 400],
    ["a list", "[]", 400],
    ["a text", '"x"', 400],
    ["null", "null", 400],
    ["nested JSON", `{"home":${"[".repeat(100)}${"]".repeat(100)}}`, 400],
    ["a megabyte", JSON.stringify({ home: "x".repeat(1_000_000) }), 413],
  ])("refuses a body that is %s", async (_, body, status) => {
    expect((await post(body)).status).toBe(status);
  });

  it("gives up on a body that has not come in 30 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    const headers = { "content-type": "application/json" };
    const answer = operator.send("/admin/v1/replays", { method: "POST", headers, body: createTrickle() });
    await vi.advanceTimersByTimeAsync(30_000);
    const response = await answer;
    vi.useRealTimers();
    expect(response.status).toBe(408);
    expect(await response.text()).toContain("The request body was not there within 30 s");
  });

  it("refuses a body of another type", async () => {
    expect((await post("{}", { "content-type": "text/plain" })).status).toBe(400);
    expect((await post("{}", {})).status).toBe(400);
  });

  it("refuses members that are missing, unknown or of another type", async () => {
    const { fields } = await operator.refusal("POST", "/replays", { home: 7, task: "t", speed: 1 });
    expect(fields.toSorted()).toEqual(["config", "from", "home", "speed", "to"]);
    const proto = JSON.parse('{"__proto__":{"home":"x"}}');
    expect((await operator.refusal("POST", "/replays", proto)).fields).toContain("__proto__");
  });

  it("refuses a query at a POST", async () => {
    expect((await operator.refusal("POST", "/retry-jobs?owner=x")).fields).toEqual(["owner"]);
  });
});

describe("a page token", () => {
  it("goes on where the page ended, and only with the same filters at the same list", async () => {
    const operator = createOperator();
    await saveAttempts(
      operator.deps.db,
      Array.from({ length: 5 }, (_, i) => attemptRow({ n: i, startedAt: 1_000 + i })),
    );
    const first = await operator.result<{ deliveries: { startedAt: string }[]; nextPageToken: string }>(
      "GET",
      "/deliveries?pageSize=3&owner=open::owner&status=200",
    );
    const token = first.nextPageToken;
    expect(first.deliveries).toHaveLength(3);
    const second = await operator.result(
      "GET",
      `/deliveries?status=200&pageToken=${token}&owner=open::owner&pageSize=2`,
    );
    expect(second).toMatchObject({ deliveries: [{}, {}], nextPageToken: "" });
    for (const path of [
      `/deliveries?owner=open::owner&pageToken=${token}`,
      `/deliveries?owner=another&status=200&pageToken=${token}`,
      `/dead-letters?owner=open::owner&status=200&pageToken=${token}`,
    ]) {
      expect((await operator.refusal("GET", path)).fields, path).toEqual(["pageToken"]);
    }
  });

  /** All pages of a list, one row each. */
  async function pagesOf(list: "configs" | "endpoints", query: string): Promise<Record<string, unknown>[]> {
    const operator = createOperator();
    const rows: Record<string, unknown>[] = [];
    let token = "";
    do {
      const path = `/${list}?pageSize=1${query}${token && `&pageToken=${token}`}`;
      const page = await operator.result<Record<string, unknown[]> & { nextPageToken: string }>("GET", path);
      rows.push(...((page[list] ?? []) as typeof rows));
      token = page.nextPageToken;
    } while (token !== "");
    return rows;
  }

  it.each(["語", '"', "\u{10ffff}"])("goes on behind the longest ids, made of %j", async (letter) => {
    const id = letter.repeat(512 / letter.length);
    const configs = ["a", id, `${id.slice(0, -letter.length)}龍`];
    await saveConfigs(
      createOperator().deps.db,
      configs.map((config) => configRow({ home: "f".repeat(64), task: id, config })),
    );
    const found = await pagesOf("configs", `&task=${encodeURIComponent(id)}`);
    expect(found.map(({ config }) => config).toSorted()).toEqual(configs.toSorted());
  });

  it("goes on behind the longest owner and origin, and they are filters", async () => {
    const owner = toOwner("jwt", `https://${"語".repeat(504)}`, "語".repeat(255));
    const origin = `https://${"x".repeat(2_040)}`;
    await saveConfigs(createOperator().deps.db, [
      ...["1", "2"].map((config) => configRow({ owner, origin, config })),
      configRow({ owner: `${owner}x`, config: "3" }),
    ]);
    expect((await pagesOf("endpoints", "")).map((row) => row.owner)).toEqual([owner, `${owner}x`]);
    const filter = `&owner=${encodeURIComponent(owner)}&origin=${encodeURIComponent(origin)}`;
    expect((await pagesOf("configs", filter)).map(({ config }) => config)).toEqual(["1", "2"]);
    const actor = sessionActor(owner, crypto.randomUUID());
    const found = await createOperator().result("GET", `/audit?actor=${encodeURIComponent(actor)}`);
    expect(found).toMatchObject({ entries: [] });
  });
});

describe("the OpenAPI document", () => {
  const operator = createOperator();
  const load = () => operator.result<Document & Record<string, unknown>>("GET", "/openapi.json");

  it("has every route, and every route is in it", async () => {
    const { openapi, paths } = await load();
    expect(openapi).toBe("3.1.0");
    const documented = Object.entries(paths).flatMap(([path, verbs]) =>
      Object.keys(verbs).map((verb) => `${verb.toUpperCase()} ${path}`),
    );
    expect(documented.toSorted()).toEqual(adminRoutes.map(({ verb, path }) => `${verb} ${path}`).toSorted());
    expect(documented.length).toBeGreaterThan(25);
  });

  it("names paths that are all answered, by what they are for and not as unknown", async () => {
    const { paths } = await load();
    for (const [template, verbs] of Object.entries(paths)) {
      const path = template.replace(/\{\w+\}/g, "nothing");
      for (const verb of Object.keys(verbs)) {
        const response = await operator.send(path, { method: verb.toUpperCase() });
        expect(Object.keys(operationAt({ paths } as Document, verb, path)?.responses ?? {})).toContain(
          String(response.status),
        );
        const text = await response.text();
        expect(text, path).not.toContain("no such path");
      }
    }
  });

  it("says of each operation that it may be refused for a while, and where it is told for how long", async () => {
    const { paths } = await load();
    for (const [path, verbs] of Object.entries(paths)) {
      for (const [verb, { responses }] of Object.entries(verbs)) {
        for (const status of [429, 503]) {
          const headers = { "Retry-After": { schema: { type: "integer" } } };
          expect(responses[status], `${verb} ${path} ${status}`).toMatchObject({ headers });
        }
      }
    }
  });

  it("names the scope of each operation: of those that read, of those that change, of those that decide who gets in", async () => {
    const { paths } = await load();
    for (const { verb, path, scope } of adminRoutes) {
      const operation = paths[path]?.[verb.toLowerCase()] as { security?: object[] } | undefined;
      expect(operation?.security, path).toEqual([{ operator: [scope] }]);
      if (scope !== "admin:keys") expect(scope, path).toBe(verb === "GET" ? "admin:read" : "admin:write");
    }
  });

  it("describes each path variable and parameter once, and refers to nothing that is not there", async () => {
    const document = await load();
    const text = JSON.stringify(document);
    const names = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
    expect([...names].filter((name) => !Object.hasOwn(document.components.schemas, name ?? ""))).toEqual([]);
    expect(text).not.toContain("$schema");
    const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(adminRoutes.length);
    for (const [path, verbs] of Object.entries(document.paths)) {
      const variables = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const operation of Object.values(verbs)) {
        const { parameters = [] } = operation as { parameters?: Record<string, string>[] };
        expect(parameters.filter((p) => p.in === "path").map((p) => p.name)).toEqual(variables);
        expect(parameters.every((p) => (p.description ?? "").length > 5)).toBe(true);
      }
    }
  });
});

describe("the guide", () => {
  it("names every route, and no other", () => {
    const paths = (text: string) =>
      [...text.matchAll(/`((?:GET|POST|DELETE) \/admin\/v1\/[^`]+)`/g)].map(([, path]) => path);
    const served = adminRoutes.map(({ verb, path }) => `${verb} ${path}`).toSorted();
    expect([...new Set(paths(guide))].toSorted()).toEqual(served);
  });

  it("names every filter", () => {
    const fields = adminRoutes.flatMap(({ fields }) => Object.keys(fields));
    for (const name of new Set(fields)) expect(guide, name).toContain(`\`${name}\``);
  });
});
