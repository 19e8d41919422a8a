// The extra members of a push notification config (docs/extensions/webhooks.md): what is read, and what hostile or
// mistaken input is told, member by member.

import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { REDACTED } from "../../src/protocol/limited-text.ts";
import { parseParams } from "../../src/protocol/parse.ts";
import { TaskPushNotificationConfig } from "../../src/protocol/push-config.ts";
import { EVENT_NAMES, redact, TaskWebhookConfig, WebhookConfig } from "../../src/protocol/push-options.ts";
import { SendMessageRequest } from "../../src/protocol/requests.ts";
import { only, sending, violations } from "./refused.ts";

const url = "https://hooks.example/a2a";
const whsec = (bytes: number) => `whsec_${btoa(String.fromCharCode(...new Uint8Array(bytes).fill(255)))}`;
const oauth2 = { tokenUrl: "https://login.example/token", clientId: "client", clientSecret: "shh" };

/** A config with every member there is, in the form that is read and written. */
const full = {
  id: "c",
  taskId: "t",
  url,
  token: "tok",
  authentication: { scheme: "Bearer", credentials: "cred" },
  secret: "sixteen-bytes-ok",
  events: ["completed", "artifactAdded"],
  headers: { "X-Team": "blue", Cookie: "a=b" },
  oauth2: { ...oauth2, scope: "a b", audience: "https://hooks.example", method: "client_secret_post" },
  jwt: { audience: "hooks" },
  batch: { maxEvents: 10, maxWaitMs: 500 },
  retry: { delaysSeconds: [1, 60] },
  rateLimit: { perMinute: 60, burst: 5 },
  securityLevel: "high",
};

describe("the config with our members", () => {
  it("reads all of them, here and inside SendMessage", () => {
    expect(z.parse(WebhookConfig, full)).toEqual(full);
    expect(z.parse(TaskWebhookConfig, full)).toEqual(full);
    const request = { ...sending({}), configuration: { taskPushNotificationConfig: full } };
    expect(z.parse(SendMessageRequest, request)).toEqual(request);
  });

  it("shows A2A's fields alone to whoever compares it with the proto", () => {
    expect(WebhookConfig.fields).toBe(TaskPushNotificationConfig.fields);
    expect(Object.keys(TaskWebhookConfig.fields)).toEqual(Object.keys(TaskPushNotificationConfig.fields));
  });

  it("leaves A2A's own type without them", () => {
    const { id, taskId, token, authentication } = full;
    expect(z.parse(TaskPushNotificationConfig, full)).toEqual({ id, taskId, url, token, authentication });
  });

  it("ignores members that nobody knows, at every level", () => {
    const value = { url, colour: "red", rateLimit: { perMinute: 1, perHour: 2 }, jwt: { issuer: "me" } };
    expect(z.parse(WebhookConfig, value)).toEqual({ url, rateLimit: { perMinute: 1 }, jwt: {} });
  });

  it("reads the proto's spelling of A2A's members and of ours", () => {
    const spelled = {
      task_id: "t",
      url,
      rate_limit: { per_minute: "60" },
      security_level: "high",
      batch: { max_events: 2, max_wait_ms: 3 },
      retry: { delays_seconds: [1] },
      oauth2: { token_url: oauth2.tokenUrl, client_id: "client", client_secret: "shh" },
    };
    expect(z.parse(TaskWebhookConfig, spelled)).toEqual({
      taskId: "t",
      url,
      rateLimit: { perMinute: 60 },
      securityLevel: "high",
      batch: { maxEvents: 2, maxWaitMs: 3 },
      retry: { delaysSeconds: [1] },
      oauth2,
    });
  });

  it.each([null, undefined])("takes %s for absent", (nothing) => {
    const absent = Object.fromEntries(
      Object.keys(full).flatMap((name) => (name === "url" ? [] : [[name, nothing]])),
    );
    expect(z.parse(WebhookConfig, { ...absent, url })).toEqual({ url });
  });

  it("takes false for absent where true is a value, and empty headers for none", () => {
    const value = { url, jwt: false, batch: false, headers: {}, securityLevel: "" };
    expect(z.parse(WebhookConfig, value)).toEqual({ url });
    expect(z.parse(WebhookConfig, { url, jwt: true, batch: true })).toEqual({ url, jwt: true, batch: true });
  });

  it("reads every event there is", () => {
    expect(z.parse(WebhookConfig, { url, events: EVENT_NAMES })).toEqual({ url, events: EVENT_NAMES });
  });

  it.each(["x".repeat(16), "x".repeat(512), "päßwörter sind bytes", whsec(24), whsec(32), whsec(64)])(
    "reads the secret %s",
    (secret) => {
      expect(z.parse(WebhookConfig, { url, secret })).toEqual({ url, secret });
    },
  );

  it("reads twenty headers, names of every token character, and values with spaces and tabs inside", () => {
    const headers = Object.fromEntries(Array.from({ length: 19 }, (_, i) => [`X-${i}`, ""]));
    const odd = { ...headers, "!#$%&'*+.^_`|~09AZaz-": "a \t~" };
    expect(z.parse(WebhookConfig, { url, headers: odd })).toEqual({ url, headers: odd });
  });

  it("keeps a header named __proto__ as a header and pollutes nothing", () => {
    const parsed = z.parse(WebhookConfig, JSON.parse(`{"url":"${url}","headers":{"__proto__":"x"}}`));
    expect(Object.keys(parsed.headers ?? {})).toEqual(["__proto__"]);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });
});

/** For each member: what is wrong, the field that is named, and what is said about it. */
const refused: [string, unknown, string, string][] = [
  ["secret", 1, "secret", "must be a string, not a number"],
  ["secret", Array(513).fill("x"), "secret", "must be a string, not an array"],
  ["secret", "", "secret", "must be at least 16 characters long"],
  ["secret", "x".repeat(15), "secret", "must be at least 16 characters long"],
  ["secret", "x".repeat(513), "secret", "must be at most 512 characters long"],
  ["secret", `${"x".repeat(16)}\ud800`, "secret", "must not contain a lone surrogate"],
  ...[
    whsec(23),
    whsec(65),
    "whsec_not base64 at all!",
    `${whsec(32).slice(0, -1)}`,
    "whsec__-_-_-_-_-_-_-_-",
  ].map((secret): [string, unknown, string, string] => [
    "secret",
    secret,
    "secret",
    "must be whsec_ and the padded base64 of 24 to 64 bytes, or not begin with whsec_",
  ]),

  ["events", "completed", "events", "must be an array, not a string"],
  ["events", [], "events", "must hold at least one element"],
  ["events", ["completed", "completed"], "events", "must not name an event twice"],
  ["events", ["completed", "Failed"], "events[1]", `must be one of ${EVENT_NAMES.join(", ")}`],
  ["events", [null], "events[0]", `must be one of ${EVENT_NAMES.join(", ")}`],
  ["events", [["completed"]], "events[0]", `must be one of ${EVENT_NAMES.join(", ")}`],
  ["events", ["constructor"], "events[0]", `must be one of ${EVENT_NAMES.join(", ")}`],

  ["headers", [], "headers", "must be an object, not an array"],
  ["headers", { "X-A": 1 }, 'headers["X-A"]', "must be a string, not a number"],
  ["headers", { "X-A": "x".repeat(4_097) }, 'headers["X-A"]', "must be at most 4096 characters long"],
  [
    "headers",
    { ["X".repeat(129)]: "" },
    `headers["${"X".repeat(64)}"]`,
    "must have a name of at most 128 characters",
  ],
  ["headers", { "": "x" }, 'headers[""]', "must have the name of a header"],
  ["headers", { "X A": "x" }, 'headers["X A"]', "must have the name of a header"],
  ["headers", { "X-Ä": "x" }, 'headers["X-Ä"]', "must have the name of a header"],
  ["headers", { "X:A": "x" }, 'headers["X:A"]', "must have the name of a header"],
  ["headers", { "X-A\r\nX-B": "x" }, 'headers["X-A\\r\\nX-B"]', "must have the name of a header"],
  ["headers", { "X-A": "1", "x-a": "2" }, 'headers["x-a"]', "must not be given twice, in whatever case"],
  [
    "headers",
    Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`X-${i}`, "v"])),
    "headers",
    "must hold at most 20 headers",
  ],
  ...["a\r\nX-B: c", "a\nb", "a\0b", " a", "a ", "\ta", "ä", "a\u007f"].map(
    (value): [string, unknown, string, string] => [
      "headers",
      { "X-A": value },
      'headers["X-A"]',
      "must be printable ASCII without spaces at its ends",
    ],
  ),

  ["oauth2", "x", "oauth2", "must be an object, not a string"],
  ["oauth2", { ...oauth2, tokenUrl: undefined }, "oauth2.tokenUrl", "is required"],
  ["oauth2", { ...oauth2, tokenUrl: "" }, "oauth2.tokenUrl", "must not be empty"],
  ["oauth2", { ...oauth2, clientId: 7 }, "oauth2.clientId", "must be a string, not a number"],
  [
    "oauth2",
    { ...oauth2, clientId: "x".repeat(513) },
    "oauth2.clientId",
    "must be at most 512 characters long",
  ],
  ["oauth2", { ...oauth2, clientSecret: "" }, "oauth2.clientSecret", "must not be empty"],
  [
    "oauth2",
    { ...oauth2, clientSecret: "x".repeat(4_097) },
    "oauth2.clientSecret",
    "must be at most 4096 characters long",
  ],
  ["oauth2", { ...oauth2, scope: "a  b" }, "oauth2.scope", "must be scopes separated by single spaces"],
  ["oauth2", { ...oauth2, scope: 'a"b' }, "oauth2.scope", "must be scopes separated by single spaces"],
  ["oauth2", { ...oauth2, audience: ["x"] }, "oauth2.audience", "must be a string, not an array"],
  [
    "oauth2",
    { ...oauth2, method: "private_key_jwt" },
    "oauth2.method",
    "must be one of client_secret_basic, client_secret_post",
  ],

  ["jwt", "yes", "jwt", "must be true or an object, not a string"],
  ["jwt", 1, "jwt", "must be true or an object, not a number"],
  ["jwt", [], "jwt", "must be true or an object, not an array"],
  ["jwt", { audience: 1 }, "jwt.audience", "must be a string, not a number"],
  ["jwt", { audience: "x".repeat(1_025) }, "jwt.audience", "must be at most 1024 characters long"],

  ["batch", "all", "batch", "must be true or an object, not a string"],
  ["batch", { maxEvents: 0 }, "batch.maxEvents", "must be from 1 to 50"],
  ["batch", { maxEvents: 51 }, "batch.maxEvents", "must be from 1 to 50"],
  ["batch", { maxEvents: 1.5 }, "batch.maxEvents", "must be a whole number"],
  ["batch", { maxWaitMs: 2_001 }, "batch.maxWaitMs", "must be from 1 to 2000"],
  ["batch", { maxWaitMs: -1 }, "batch.maxWaitMs", "must be from 1 to 2000"],

  ["retry", [1], "retry", "must be an object, not an array"],
  ["retry", {}, "retry.delaysSeconds", "is required"],
  ["retry", { delaysSeconds: [] }, "retry.delaysSeconds", "must hold at least one element"],
  ["retry", { delaysSeconds: 5 }, "retry.delaysSeconds", "must be an array, not a number"],
  ["retry", { delaysSeconds: [1, 0] }, "retry.delaysSeconds[1]", "must be from 1 to 604800"],
  ["retry", { delaysSeconds: [0.5] }, "retry.delaysSeconds[0]", "must be a whole number"],
  ["retry", { delaysSeconds: [604_801] }, "retry.delaysSeconds[0]", "must be from 1 to 604800"],
  ["retry", { delaysSeconds: [1e300] }, "retry.delaysSeconds[0]", "must be from 1 to 604800"],
  ["retry", { delaysSeconds: Array(21).fill(1) }, "retry.delaysSeconds", "must hold at most 20 elements"],
  [
    "retry",
    { delaysSeconds: [604_800, 1] },
    "retry.delaysSeconds",
    "must sum up to at most 604800 seconds (7 days)",
  ],

  ["rateLimit", 60, "rateLimit", "must be an object, not a number"],
  ["rateLimit", {}, "rateLimit.perMinute", "is required"],
  ["rateLimit", { perMinute: 0 }, "rateLimit.perMinute", "must be from 1 to 1000000"],
  ["rateLimit", { perMinute: "many" }, "rateLimit.perMinute", "must be a whole number"],
  ["rateLimit", { perMinute: 1, burst: 100_001 }, "rateLimit.burst", "must be from 1 to 100000"],

  ["securityLevel", 3, "securityLevel", "must be a string, not a number"],
  ["securityLevel", "x".repeat(65), "securityLevel", "must be at most 64 characters long"],
  ["securityLevel", "high\r\nX: y", "securityLevel", "must be printable ASCII without spaces at its ends"],
];

describe("a member that is malformed", () => {
  it.each(refused)("%s: %j is refused by its path", (member, value, field, description) => {
    expect(violations(WebhookConfig, { url, [member]: value })).toEqual(only(field, description));
    const request = {
      ...sending({}),
      configuration: { taskPushNotificationConfig: { url, [member]: value } },
    };
    const inline = `configuration.taskPushNotificationConfig.${field}`;
    expect(violations(SendMessageRequest, request)).toEqual(only(inline, description));
  });

  it("is named with all others that are", () => {
    const value = { secret: "short", events: [], jwt: 1, rateLimit: {}, securityLevel: 1 };
    const fields = violations(TaskWebhookConfig, value).map(({ field }) => field);
    expect(fields.toSorted()).toEqual(
      ["events", "jwt", "rateLimit.perMinute", "secret", "securityLevel", "taskId", "url"].toSorted(),
    );
  });

  it("is never quoted when it is a secret", () => {
    const mark = "QUOTED";
    const values = [
      { secret: mark },
      { secret: `whsec_${mark}${mark}${mark}` },
      { headers: { "X-A": `${mark}\n` } },
      { oauth2: { ...oauth2, clientSecret: mark.repeat(1_000) } },
    ];
    for (const value of values) {
      const parsed = parseParams(WebhookConfig, { url, ...value });
      expect(parsed.ok).toBe(false);
      expect(JSON.stringify(parsed)).not.toContain(mark);
    }
  });
});

describe("a header of ours", () => {
  const reserved = [
    ..."Authorization A2A-Version a2a-notification-token X-A2A-Signature webhook-id Webhook-Signature".split(
      " ",
    ),
    ..."traceparent tracestate User-Agent Host Content-Type content-length Content-Encoding Accept-Encoding".split(
      " ",
    ),
    ..."Connection Keep-Alive Proxy-Authorization proxy-connection TE Trailer Transfer-Encoding Upgrade".split(
      " ",
    ),
    ..."Expect Forwarded X-Forwarded-For x-real-ip CF-Connecting-IP CF-Worker CDN-Loop".split(" "),
    ..."Webhook_Id webhook_signature A2A_Version X_A2A-Signature X_Forwarded_For User_Agent Content_Length".split(
      " ",
    ),
  ];
  it.each(reserved)("or of the connection's, %s, is not a config's to set", (name) => {
    expect(violations(WebhookConfig, { url, headers: { [name]: "x" } })).toEqual([
      { field: expect.stringMatching(/^headers[.[]/), description: "is not a header that a config may set" },
    ]);
  });

  it.each([
    "Cookie",
    "X-Api-Key",
    "Accept",
    "CF-Access-Client-Id",
    "X-Tee",
    "Webhooks",
    "Hosted",
    "X_Api_Key",
  ])("is not meant by %s", (name) => {
    expect(z.parse(WebhookConfig, { url, headers: { [name]: "x" } }).headers).toEqual({ [name]: "x" });
  });
});

describe("redaction", () => {
  it("hides every secret, and only those", () => {
    const answer = redact(z.parse(WebhookConfig, full));
    expect(answer).toEqual({
      ...full,
      token: REDACTED,
      authentication: { scheme: "Bearer", credentials: REDACTED },
      secret: REDACTED,
      headers: { "X-Team": REDACTED, Cookie: REDACTED },
      oauth2: { ...full.oauth2, clientSecret: REDACTED },
    });
  });

  it("adds nothing that was not configured", () => {
    expect(redact({ url })).toEqual({ url });
    const plain = { url, authentication: { scheme: "Negotiate" } };
    expect(redact(plain)).toEqual(plain);
  });

  it("is no secret when it comes back", () => {
    const description = `must not be ${REDACTED}, which only answers hold in place of a secret`;
    expect(violations(WebhookConfig, { url, headers: { "X-A": REDACTED } })).toEqual(
      only('headers["X-A"]', description),
    );
    expect(violations(WebhookConfig, { url, oauth2: { ...oauth2, clientSecret: REDACTED } })).toEqual(
      only("oauth2.clientSecret", description),
    );
    const [violation] = violations(WebhookConfig, { url, secret: REDACTED });
    expect(violation).toEqual({ field: "secret", description });
  });
});
