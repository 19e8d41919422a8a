// What both bindings read around the params: version, extensions, keys, event ids, the agent, the media types.

import { describe, expect, it, vi } from "vitest";
import { createTrickle } from "../support/trickle.ts";
import { createRecordingApp, hello, ORIGIN, post, rpc } from "./recording-app.ts";

type Send = (headers: Record<string, string>, path?: string) => [string, RequestInit];

/** The same call over each binding. `path` goes before (the agent) or after it (a query). */
const sends: [string, Send][] = [
  ["JSON-RPC", (headers, path = "") => [path === "" ? "/" : path, rpc("SendMessage", hello, headers)]],
  [
    "HTTP+JSON",
    (headers, path = "") => {
      const [agent = "", query] = path.split("?");
      const url = `${agent === "/" ? "" : agent}/message:send${query === undefined ? "" : `?${query}`}`;
      return [url, post(hello, headers)];
    },
  ],
];

type Detail = { reason?: string; fieldViolations?: { field: string }[] };

/** Reason and fields of an error answer of either binding. */
async function refusalOf(response: Response): Promise<{ reason?: string | undefined; fields: string[] }> {
  const { error } = await response.json<{ error: { data?: Detail[]; details?: Detail[] } }>();
  const details = error.data ?? error.details ?? [];
  return {
    reason: details.find((detail) => detail.reason !== undefined)?.reason,
    fields: details.flatMap((detail) => detail.fieldViolations ?? []).map(({ field }) => field),
  };
}

describe.each(sends)("%s", (_, send) => {
  describe("version (§3.6)", () => {
    it.each([
      ["1.0", ""],
      ["1.0.1", ""],
      ["", "/?A2A-Version=1.0"],
      ["", "/?a2a-version=1.0"],
      ["1.0", "/?A2A-Version=0.3"],
    ])("serves the header %j with the query %j", async (version, path) => {
      const app = createRecordingApp();
      const response = await app.fetch(...send(version === "" ? {} : { "a2a-version": version }, path));
      expect(response.status).toBe(200);
      expect(response.headers.get("a2a-version")).toBe("1.0");
      expect(app.calls).toHaveLength(1);
    });

    it("takes a call without a version for 1.0, since 0.3 has none like it", async () => {
      const app = createRecordingApp();
      await app.fetch(...send({}));
      expect(app.calls).toHaveLength(1);
    });

    it.each([
      ["0.3", "", "METHOD_NOT_FOUND"],
      ["0.3.0", "", "METHOD_NOT_FOUND"],
      ["", "/?A2A-Version=0.3", "METHOD_NOT_FOUND"],
      ["2.0", "", "VERSION_NOT_SUPPORTED"],
      ["one", "", "VERSION_NOT_SUPPORTED"],
    ])("refuses the header %j with the query %j: %s", async (version, path, reason) => {
      const app = createRecordingApp();
      const response = await app.fetch(...send(version === "" ? {} : { "a2a-version": version }, path));
      expect(await refusalOf(response)).toMatchObject({ reason });
      expect(app.calls).toEqual([]);
    });
  });

  describe("extensions (§3.2.6, §3.3.4)", () => {
    const uri = "https://example.com/ext/trace/v1";
    const settings = { requiredExtensions: [uri] };

    it("ignores extensions that nobody requires", async () => {
      const app = createRecordingApp();
      const response = await app.fetch(...send({ "a2a-extensions": uri }));
      expect(response.headers.get("a2a-extensions")).toBeNull();
      expect(app.calls[0]?.extensions).toEqual([]);
    });

    it("echoes the activated ones", async () => {
      const app = createRecordingApp({ settings });
      const response = await app.fetch(
        ...send({ "a2a-extensions": `https://other.example, ${uri} ,${uri}` }),
      );
      expect(response.headers.get("a2a-extensions")).toBe(uri);
      expect(app.calls[0]?.extensions).toEqual([uri]);
    });

    it.each([{}, { "a2a-extensions": "" }, { "a2a-extensions": `${uri}0` }])(
      "requires the required: %j",
      async (headers) => {
        const app = createRecordingApp({ settings });
        const response = await app.fetch(...send(headers as Record<string, string>));
        expect(await refusalOf(response)).toMatchObject({ reason: "EXTENSION_SUPPORT_REQUIRED" });
        expect(app.calls).toEqual([]);
      },
    );
  });

  describe("Idempotency-Key", () => {
    it.each(["k", "x".repeat(255), "!~"])("passes %s on", async (key) => {
      const app = createRecordingApp();
      await app.fetch(...send({ "idempotency-key": key }));
      expect(app.calls[0]?.idempotencyKey).toBe(key);
    });

    it.each(["", "x".repeat(256), "a b", "a\tb"])("refuses %j, naming the header", async (key) => {
      const app = createRecordingApp();
      const response = await app.fetch(...send({ "idempotency-key": key }));
      expect(await refusalOf(response)).toEqual({ reason: "INVALID_PARAMS", fields: ["Idempotency-Key"] });
      expect(app.calls).toEqual([]);
    });
  });

  describe("the agent", () => {
    it("is the default one at the root, and the path's under a path", async () => {
      const app = createRecordingApp();
      await app.fetch(...send({}));
      await app.fetch(...send({}, "/interview"));
      expect(app.calls.map(({ agent }) => agent.name)).toEqual(["echo", "interview"]);
    });

    it("is called at the origin of the request, or at PUBLIC_URL", async () => {
      const app = createRecordingApp();
      await app.fetch(...send({}));
      expect(app.calls[0]?.baseUrl).toBe(ORIGIN);
      const proxied = createRecordingApp({ settings: { publicUrl: "https://example.com/a2a" } });
      await proxied.fetch(...send({}));
      expect(proxied.calls[0]?.baseUrl).toBe("https://example.com/a2a");
    });
  });

  describe("the media type", () => {
    it.each([
      "application/json",
      "application/a2a+json",
      "Application/JSON; charset=UTF-8",
      "application/json ;x=y",
    ])("may be %s", async (type) => {
      const app = createRecordingApp();
      await app.fetch(...send({ "content-type": type }));
      expect(app.calls).toHaveLength(1);
    });

    it.each([
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/jsonp",
      "multipart/form-data; boundary=x",
      "json",
    ])("must not be %s", async (type) => {
      const app = createRecordingApp();
      const response = await app.fetch(...send({ "content-type": type }));
      expect(await refusalOf(response)).toMatchObject({ reason: "CONTENT_TYPE_NOT_SUPPORTED" });
      expect(app.calls).toEqual([]);
    });

    it("must be there when there is a body: a page of another site can leave it out", async () => {
      const app = createRecordingApp();
      const [path, { body, method = "POST" }] = send({});
      const bytes = new TextEncoder().encode(String(body));
      const response = await app.fetch(path, { method, body: bytes });
      expect(await refusalOf(response)).toMatchObject({ reason: "CONTENT_TYPE_NOT_SUPPORTED" });
      expect(app.calls).toEqual([]);
    });
  });

  it("stops reading a body without length at the limit and answers 413", async () => {
    const app = createRecordingApp({ settings: { maxBodyBytes: 10_000 } });
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          sent += 1000;
          controller.enqueue(new Uint8Array(1000).fill(0x20));
        },
      },
      { highWaterMark: 0 },
    );
    const [path, init] = send({});
    const response = await app.fetch(path, { ...init, body: endless });
    expect(response.status).toBe(413);
    expect(await refusalOf(response)).toMatchObject({ reason: "PAYLOAD_TOO_LARGE" });
    expect(sent).toBe(11_000);
    expect(app.calls).toEqual([]);
  });

  it("answers 408 when the body has not come in 30 s", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    const app = createRecordingApp();
    const [path, init] = send({});
    const answer = app.fetch(path, { ...init, body: createTrickle() });
    await vi.advanceTimersByTimeAsync(30_000);
    const response = await answer;
    vi.useRealTimers();
    expect(response.status).toBe(408);
    expect(await refusalOf(response)).toMatchObject({ reason: "REQUEST_TIMEOUT" });
    expect(app.calls).toEqual([]);
  });

  it("answers 503 while too many large bodies are being read", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    const app = createRecordingApp({ settings: { maxBodyBytes: 16_777_216 } });
    const [path, init] = send({ "content-type": "application/json", "content-length": "16777216" });
    const large = () => app.fetch(path, { ...init, body: createTrickle() });
    const held = [large(), large(), large()];
    const response = await Promise.race(held);
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await refusalOf(response)).toMatchObject({ reason: "UNAVAILABLE" });
    await vi.advanceTimersByTimeAsync(30_000);
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([408, 408, 503]);
    vi.useRealTimers();
    expect(app.calls).toEqual([]);
  });

  it("asks who is calling before it reads the body", async () => {
    const order: string[] = [];
    const app = createRecordingApp({
      authenticate: async () => {
        order.push("caller");
        return { ok: false, error: { reason: "UNAUTHENTICATED", message: "no" } };
      },
    });
    const [path, init] = send({});
    const body = new ReadableStream(
      {
        pull: (controller) => {
          order.push("body");
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const response = await app.fetch(path, { ...init, body });
    expect(response.status).toBe(401);
    expect(order).toEqual(["caller"]);
  });
});

describe("the tenant of a JSON-RPC call", () => {
  it.each([
    ["/", "interview", "interview"],
    ["/", "", "echo"],
    ["/interview", "interview", "interview"],
    ["/interview/", undefined, "interview"],
  ])("at %s with %j is the agent %s", async (path, tenant, name) => {
    const app = createRecordingApp();
    await app.fetch(path, rpc("SendMessage", { tenant, ...hello }));
    expect(app.calls.map(({ agent }) => agent.name)).toEqual([name]);
  });

  it.each([
    ["/", "nobody"],
    ["/", "__proto__"],
    ["/interview", "echo"],
    ["/echo", "nobody"],
  ])("at %s must not be %s", async (path, tenant) => {
    const app = createRecordingApp();
    const response = await app.fetch(path, rpc("SendMessage", { tenant, ...hello }));
    expect(await refusalOf(response)).toEqual({ reason: "INVALID_PARAMS", fields: ["tenant"] });
    expect(app.calls).toEqual([]);
  });
});

describe("the tenant of an HTTP+JSON call", () => {
  it("may stand in the query of a GET and in the body of a POST", async () => {
    const app = createRecordingApp();
    await app.fetch("/tasks?tenant=interview");
    await app.fetch("/message:send", post({ tenant: "interview", ...hello }));
    await app.fetch("/interview/tasks?tenant=interview");
    expect(app.calls.map(({ agent }) => agent.name)).toEqual(["interview", "interview", "interview"]);
  });

  it.each(["/tasks?tenant=nobody", "/interview/tasks?tenant=echo"])("is refused at %s", async (path) => {
    const response = await createRecordingApp().fetch(path);
    expect(await refusalOf(response)).toEqual({ reason: "INVALID_PARAMS", fields: ["tenant"] });
  });
});

describe("Last-Event-ID", () => {
  const subscribe: [string, (headers: Record<string, string>) => [string, RequestInit]][] = [
    ["JSON-RPC", (headers) => ["/", rpc("SubscribeToTask", { id: "t" }, headers)]],
    ["HTTP+JSON GET", (headers) => ["/tasks/t:subscribe", { headers }]],
    ["HTTP+JSON POST", (headers) => ["/tasks/t:subscribe", { method: "POST", headers }]],
  ];

  it.each(subscribe)("is passed on in %s", async (_, send) => {
    const app = createRecordingApp();
    await app.fetch(...send({ "last-event-id": "0042" }));
    await app.fetch(...send({ "last-event-id": "9".repeat(16) }));
    await app.fetch(...send({ "last-event-id": "" }));
    expect(app.calls.map(({ lastEventId }) => lastEventId)).toEqual(["0042", "9".repeat(16), undefined]);
  });

  it.each(subscribe)("is refused in %s when it is no event id", async (_, send) => {
    const app = createRecordingApp();
    for (const id of ["-1", "1.5", "x", "1 2", "9".repeat(17), "0x10"]) {
      const response = await app.fetch(...send({ "last-event-id": id }));
      expect(await refusalOf(response)).toEqual({ reason: "INVALID_PARAMS", fields: ["Last-Event-ID"] });
    }
    expect(app.calls).toEqual([]);
  });

  it("means nothing where nothing is streamed", async () => {
    const app = createRecordingApp();
    await app.fetch("/tasks/t", { headers: { "last-event-id": "x", "idempotency-key": "" } });
    expect(app.calls[0]).not.toHaveProperty("lastEventId");
    expect(app.calls[0]).not.toHaveProperty("idempotencyKey");
  });
});
