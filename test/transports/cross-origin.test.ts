// Pages of other sites, names that lead here without being ours, and what every answer tells browsers.

import { describe, expect, it } from "vitest";
import type { Config } from "../../src/config.ts";
import { createRecordingApp, hello, ORIGIN, post, rpc } from "./recording-app.ts";

const APP = "https://app.example";
const open = { authModes: ["open"], allowedHosts: [] } satisfies Partial<Config>;

function appOf(settings: Partial<Config> = {}) {
  return createRecordingApp({ settings: { corsOrigins: [APP], ...settings } });
}

/** A preflight, as browsers send it (Fetch §4.8). */
const preflight = (origin: string, method = "POST"): RequestInit => ({
  method: "OPTIONS",
  headers: {
    origin,
    "access-control-request-method": method,
    "access-control-request-headers": "authorization,content-type",
  },
});

const corsHeaders = (response: Response) =>
  [...response.headers.keys()].filter((name) => name.startsWith("access-control-"));

const strangers = [
  "null",
  "",
  "https://evil.example",
  "http://app.example",
  "https://APP.example",
  "https://app.example.",
  "https://app.example:443",
  "https://app.example:8443",
  "https://app.example/",
  "https://app.example@evil.example",
  "https://evil@app.example",
  "https://app.example.evil.example",
  "https://app.example, https://evil.example",
  "https://аpp.example",
  "https://xn--pp-6kc.example",
  "*",
  "chrome-extension://abcdefghijklmnop",
  "file://",
];

/** What is done for callers and operators, once a path. */
const guarded: [path: string, init: RequestInit][] = [
  ["/", rpc("SendMessage", hello)],
  ["/echo", rpc("ListTasks")],
  ["/message:send", post(hello)],
  ["/tasks", {}],
  ["/tasks/1:subscribe", {}],
  ["/tasks/.well-known/pushNotificationConfigs", {}],
  ["/echo/tasks/1:cancel", { method: "POST" }],
  ["/extendedAgentCard", {}],
  ["/metrics", {}],
  ["/admin/v1/endpoints", {}],
  ["/admin", {}],
  ["/nobody", post({})],
];

const unguarded = [
  "/",
  "/health",
  "/ready",
  "/.well-known/jwks.json",
  "/.well-known/agent-card.json",
  "/echo/.well-known/agent-card.json",
];

const withHeaders = (init: RequestInit, headers: Record<string, string>): RequestInit => ({
  ...init,
  headers: { ...(init.headers as Record<string, string>), ...headers },
});

describe("a page of a stranger", () => {
  // A header's value is bytes: what is beyond Latin-1 cannot be sent at all.
  it.each(strangers.filter((origin) => /^[\x20-\xff]*$/.test(origin)))(
    "of the origin %j gets 403 and no CORS, and nothing is done for it",
    async (origin) => {
      for (const [path, init] of guarded) {
        const app = appOf();
        const response = await app.fetch(path, withHeaders(init, { origin }));
        expect(response.status, path).toBe(403);
        expect(corsHeaders(response), path).toEqual([]);
        expect(await response.json(), path).toMatchObject({
          error: { status: "PERMISSION_DENIED", details: [{ reason: "PERMISSION_DENIED" }] },
        });
        expect(app.calls).toEqual([]);
      }
    },
  );

  it("gets a plain answer to its preflight, whatever it wants to do", async () => {
    for (const method of ["POST", "DELETE", "PUT", "GET", "get", "__proto__"]) {
      const response = await appOf().fetch("/message:send", preflight("https://evil.example", method));
      expect(response.status).toBe(204);
      expect(response.headers.get("allow")).toBe("POST, OPTIONS");
      expect(response.headers.get("vary")).toBe("Origin");
      expect(corsHeaders(response)).toEqual([]);
    }
  });

  it.each(["cross-site", "same-site"])("gets 403 for an image, a frame or a link (%s)", async (site) => {
    const app = appOf();
    const headers = { "sec-fetch-site": site };
    expect((await app.fetch("/tasks/1:subscribe", { headers })).status).toBe(403);
    expect((await app.fetch("/health", { headers })).status).toBe(200);
    expect(app.calls).toEqual([]);
  });

  it("may read what is public", async () => {
    for (const path of unguarded) {
      const response = await appOf().fetch(path, { headers: { origin: "https://evil.example" } });
      expect(response.status, path).toBe(200);
      expect(response.headers.get("access-control-allow-origin"), path).toBe("*");
      expect(response.headers.get("access-control-expose-headers"), path).toContain("etag");
      expect(response.headers.get("cross-origin-resource-policy"), path).toBe("cross-origin");
      const asked = await appOf().fetch(path, preflight("https://evil.example", "GET"));
      expect(asked.status, path).toBe(204);
      expect(asked.headers.get("access-control-allow-methods"), path).toMatch(/^HEAD, GET/);
    }
  });
});

describe("a page of a listed origin", () => {
  const page = { origin: APP };

  it.each([
    ["/", "HEAD, GET, POST, OPTIONS"],
    ["/tasks/1", "HEAD, GET, OPTIONS"],
    ["/tasks/1/pushNotificationConfigs/2", "HEAD, GET, DELETE, OPTIONS"],
  ])("is told by a preflight what %s has", async (path, methods) => {
    const { status, headers } = await appOf().fetch(path, preflight(APP));
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe(APP);
    expect(headers.get("access-control-allow-methods")).toBe(methods);
    const allowed = headers.get("access-control-allow-headers")?.split(", ");
    for (const name of ["authorization", "content-type", "a2a-version", "a2a-extensions", "x-api-key"]) {
      expect(allowed).toContain(name);
    }
    expect(allowed).not.toContain("*");
    expect(headers.get("access-control-max-age")).toBe("7200");
    expect(headers.get("access-control-allow-credentials")).toBeNull();
    expect(headers.get("vary")).toBe("Origin");
  });

  it("is served, and may read the headers that A2A clients go by", async () => {
    const app = appOf();
    const response = await app.fetch("/", rpc("SendMessage", hello, page));
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(APP);
    expect(response.headers.get("vary")).toBe("Origin");
    const exposed = response.headers.get("access-control-expose-headers")?.split(", ");
    for (const name of ["a2a-version", "retry-after", "x-request-id", "www-authenticate"]) {
      expect(exposed).toContain(name);
    }
    expect(app.calls).toHaveLength(1);
  });

  it("may read a refusal, too", async () => {
    const response = await appOf().fetch("/tasks", { method: "DELETE", headers: page });
    expect(response.status).toBe(405);
    expect(response.headers.get("access-control-allow-origin")).toBe(APP);
  });

  it.each(["/metrics", "/admin/v1/endpoints"])("is a stranger at %s", async (path) => {
    expect((await appOf().fetch(path, { headers: page })).status).toBe(403);
    expect(corsHeaders(await appOf().fetch(path, preflight(APP)))).toEqual([]);
  });
});

describe("CORS_ORIGINS=*", () => {
  it("serves a page of any origin, but not the operators' paths", async () => {
    for (const origin of ["null", "https://evil.example"]) {
      const app = appOf({ corsOrigins: ["*"] });
      const response = await app.fetch("/tasks", { headers: { origin } });
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect((await app.fetch("/metrics", { headers: { origin } })).status).toBe(403);
    }
  });
});

describe("our own pages", () => {
  it("are those of the origin that the request came to, and of PUBLIC_URL", async () => {
    const publicUrl = "https://agents.example";
    for (const origin of [ORIGIN, publicUrl]) {
      const app = appOf({ publicUrl });
      const response = await app.fetch("/message:send", post(hello, { origin }));
      expect(response.status, origin).toBe(200);
      expect(corsHeaders(response), origin).toEqual([]);
    }
    const other = await appOf({ publicUrl }).fetch("/tasks", { headers: { origin: `${ORIGIN}:8443` } });
    expect(other.status).toBe(403);
  });

  it.each(["same-origin", "none"])("and users (Sec-Fetch-Site: %s) are served", async (site) => {
    expect((await appOf().fetch("/tasks", { headers: { "sec-fetch-site": site } })).status).toBe(200);
  });
});

describe("a host name", () => {
  const names: [host: string, isServed: boolean][] = [
    ["localhost", true],
    ["LOCALHOST:8787", true],
    ["localhost.", true],
    ["api.localhost", true],
    ["127.0.0.1:8787", true],
    ["127.1", true],
    ["0x7f000001", true],
    ["192.168.1.20", true],
    ["[::1]:8787", true],
    ["[fe80::1]", true],
    ["agents.example", true],
    ["AGENTS.EXAMPLE.:8443", true],
    ["agents.lan", true],
    ["evil.example", false],
    ["evil.localhost.example", false],
    ["localhost.evil.example", false],
    ["notlocalhost", false],
    ["127.0.0.1.evil.example", false],
    ["127.0.0.1.nip.io", false],
    ["agents.example.evil.example", false],
    ["xn--lcalhost-55a", false],
    ["localhost@evil.example", false],
    ["evil.example.", false],
  ];
  const settings = { publicUrl: "https://agents.example", allowedHosts: ["agents.lan"] };
  const get = (host: string, settings: Partial<Config>, path = "/tasks") =>
    appOf(settings).send(new Request(`http://${host}${path}`));

  it.each(names)(
    "%s is served: %s, where everybody who reaches the server is let in",
    async (host, isServed) => {
      const response = await get(host, { ...open, ...settings });
      expect(response.status).toBe(isServed ? 200 : 403);
      if (!isServed) expect(await response.text()).toContain("ALLOWED_HOSTS");
    },
  );

  it("is judged by itself, not by a request before it", async () => {
    const app = appOf({ ...open, allowedHosts: [] });
    const statuses: number[] = [];
    for (const host of ["localhost", "localhost:1", "localhost.evil.example", "evil.example", "localhost"]) {
      statuses.push((await app.send(new Request(`http://${host}/tasks`))).status);
    }
    expect(statuses).toEqual([200, 200, 403, 403, 200]);
  });

  it("does not matter for what is public, where callers say who they are, or with *", async () => {
    expect((await get("evil.example", { ...open, ...settings }, "/health")).status).toBe(200);
    expect((await get("agents.company.example", { authModes: ["api-key"] })).status).toBe(200);
    expect((await get("any.example", { ...open, allowedHosts: ["*"] })).status).toBe(200);
  });

  it("of a rebound page is refused though the page is of that very origin", async () => {
    const app = appOf(open);
    const request = new Request("http://evil.example:8787/message:send", {
      ...post(hello, { origin: "http://evil.example:8787", "sec-fetch-site": "same-origin" }),
    });
    expect((await app.send(request)).status).toBe(403);
    expect(app.calls).toEqual([]);
  });
});

describe("every answer", () => {
  it.each([
    ["/", rpc("SendMessage", hello), 200],
    ["/tasks", {}, 200],
    ["/health", {}, 200],
    ["/nobody", {}, 404],
    ["/tasks", { method: "PUT" }, 405],
    ["/tasks", { headers: { origin: "null" } }, 403],
    ["/tasks", { method: "OPTIONS" }, 204],
  ])("of %s %j can be framed, sniffed and referred from nowhere", async (path, init, status) => {
    const { headers, status: answered } = await appOf().fetch(path, init);
    expect(answered).toBe(status);
    expect(headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("strict-transport-security")).toBe("max-age=31536000");
    expect(headers.get("x-request-id")).not.toBeNull();
  });

  it("of a page allows what the page needs, and no frame", async () => {
    const response = await appOf().fetch("/", { headers: { accept: "text/html" } });
    expect(response.headers.get("content-security-policy")).toBe(
      "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    );
  });

  it("without TLS says nothing of TLS", async () => {
    const response = await appOf().send(new Request("http://localhost/health"));
    expect(response.headers.get("strict-transport-security")).toBeNull();
  });

  it("of what is not public is for no other site, CORS or not", async () => {
    const response = await appOf().fetch("/tasks");
    expect(response.headers.get("cross-origin-resource-policy")).toBe("same-origin");
    expect(corsHeaders(response)).toEqual([]);
  });

  it("does not vary by Origin where no origin is listed", async () => {
    const response = await appOf({ corsOrigins: [] }).fetch("/tasks", { headers: { origin: ORIGIN } });
    expect(response.status).toBe(200);
    expect(response.headers.get("vary")).toBeNull();
  });
});
