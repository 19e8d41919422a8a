// docs/webhooks.md against what it describes. Its worked example is verified as a receiver would: by our verifier and
// by a package that knows nothing of us. A number in the guide that is wrong costs somebody a day.

import { env } from "cloudflare:test";
import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import goReceiver from "../../docs/receivers/receiver.go?raw";
import pythonReceiver from "../../docs/receivers/receiver.py?raw";
import typescriptReceiver from "../../docs/receivers/receiver.ts?raw";
import guide from "../../docs/webhooks.md?raw";
import type { Claim } from "../../src/delivery/exchange.ts";
import type { ErrorClass } from "../../src/delivery/outcome.ts";
import { toRequest } from "../../src/delivery/request.ts";
import { parseSigningKeys } from "../../src/keys/signing-keys.ts";
import { operations } from "../../src/protocol/operations.ts";
import { EVENT_NAMES, pushOptions, WEBHOOKS_EXTENSION } from "../../src/protocol/push-options.ts";
import { createVerifier } from "../../src/verify/index.ts";

const example = guide.slice(guide.indexOf("### A worked example"), guide.indexOf("### The older header"));

/** The content of the fenced blocks of a language, without their last line feed. */
function blocks(language: string, text = example): string[] {
  const fences = text.matchAll(/^```(\w*)\n([\s\S]*?)\n```$/gm);
  return [...fences].flatMap(([, of, code]) => (of === language && code !== undefined ? [code] : []));
}

const [secret = ""] = /whsec_[A-Za-z0-9+/=]+/.exec(example) ?? [];
const [body = ""] = blocks("text");
const [jwk = ""] = blocks("json");
const headers = Object.fromEntries(
  (blocks("http")[0] ?? "").split("\n").map((line) => {
    const colon = line.indexOf(": ");
    return [line.slice(0, colon), line.slice(colon + 2)];
  }),
);
const now = () => Number(headers["webhook-timestamp"]) * 1_000 + 60_000;

/** The part of the guide under a heading, with what is below it. */
function section(heading: string): string {
  const [marks = ""] = /^#+/.exec(heading) ?? [];
  const start = guide.indexOf(`\n${heading}\n`) + 1;
  expect(start, heading).toBeGreaterThan(0);
  const rest = guide.slice(start + heading.length);
  const end = rest.search(new RegExp(`^#{1,${marks.length}} `, "m"));
  return end === -1 ? rest : rest.slice(0, end);
}

/** What stands in backticks in the first cells of the tables of a section. */
function listed(heading: string): string[] {
  const cells = [...section(heading).matchAll(/^\| (`[^|]*) \|/gm)].map(([, cell]) => cell ?? "");
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? ""));
}

/** A var of the first or, with `production`, the last place where wrangler.toml has it. */
function setting(name: string, production = false): string {
  const found = [...env.TEST_WRANGLER_TOML.matchAll(new RegExp(`^${name} = "(.*)"$`, "gm"))];
  expect(found).toHaveLength(2);
  return found.at(production ? 1 : 0)?.[1] ?? "";
}

describe("the worked example of the guide", () => {
  it("is there, with all that a receiver needs", () => {
    expect(secret).not.toBe("");
    expect(Object.keys(headers)).toEqual([
      "webhook-id",
      "webhook-timestamp",
      "webhook-signature",
      "X-A2A-Signature",
      "X-A2A-Timestamp",
      "X-A2A-Task-ID",
    ]);
    expect(JSON.parse(body)).toHaveProperty("statusUpdate.taskId", headers["X-A2A-Task-ID"]);
  });

  it("is verified by a2a-edge/verify, by the secret and by the public key", async () => {
    const verifier = createVerifier({ secrets: [secret], jwks: { keys: [JSON.parse(jwk)] }, now });
    expect(await verifier.verify({ headers, body })).toMatchObject({
      ok: true,
      value: { id: headers["webhook-id"], checks: ["v1", "v1a"] },
    });
    expect(await verifier.verify({ headers, body: `${body}\n` })).toMatchObject({
      error: { reason: "no_matching_signature" },
    });
  });

  it("is verified by a2a-edge/verify in the older form", async () => {
    const { "X-A2A-Signature": signature, "X-A2A-Timestamp": timestamp } = headers;
    const older = { "X-A2A-Signature": signature, "X-A2A-Timestamp": timestamp };
    const verifier = createVerifier({ secrets: [secret], acceptBodySignature: true, now });
    expect(await verifier.verify({ headers: older, body })).toMatchObject({ value: { checks: ["body"] } });
  });

  it("is signed as the standardwebhooks package signs", () => {
    const at = new Date(Number(headers["webhook-timestamp"]) * 1_000);
    const signature = new Webhook(secret).sign(headers["webhook-id"] ?? "", at, body);
    expect(headers["webhook-signature"]?.split(" ")[0]).toBe(signature);
  });

  it("names its own key in the shell commands", () => {
    const [shell = ""] = blocks("sh");
    expect(shell).toContain(`printf %s ${secret.slice("whsec_".length)} |`);
    expect(shell).toContain(`printf %s ${headers["webhook-id"]}.${headers["webhook-timestamp"]}.;`);
  });
});

describe("the guide", () => {
  it("lists the header fields of a notification, all of them", async () => {
    const keys = parseSigningKeys(env.SIGNING_KEYS);
    if (!keys.ok) throw new Error(keys.error);
    const claim = { id: "1", task: "t", url: "https://a.example/", body: "{}", sequence: 1, attempt: 1 };
    const options = { scheme: "Bearer", securityLevel: "high" };
    const { headers } = await toRequest({
      claim: { ...claim, options, contentType: "application/a2a+json", version: "1.0" } as unknown as Claim,
      secrets: { token: "t", secrets: [{ value: "s" }] },
      signingKeys: keys.value,
      now: 0,
      authorization: "Bearer x",
      timeoutMs: 1,
    });
    expect(listed("## The request").toSorted()).toEqual(Object.keys(headers).toSorted());
  });

  it("lists the members of a config, A2A's and ours, and the names of events", () => {
    const members = listed("## Configure");
    const own = members.slice(0, members.indexOf("secret"));
    expect(own).toEqual(["url", "token", "authentication"]);
    expect(members.slice(own.length)).toEqual(Object.keys(pushOptions));
    for (const name of EVENT_NAMES) expect(section("## Configure")).toContain(`\`${name}\``);
    expect(section("## Configure")).toContain(WEBHOOKS_EXTENSION);
  });

  it("has the paths of the four operations", () => {
    const paths = [...section("## Configure").matchAll(/`(\w+)` \| `(\w+) (\/\S+)` \|/g)];
    const told = paths.map(([, name, verb, path]) => [name, verb, path]);
    const served = Object.entries(operations)
      .filter(([name]) => name.includes("PushNotification"))
      .map(([name, { rest }]) => [name, rest[0].verb, rest[0].path]);
    expect(told).toEqual(served);
  });

  it("has the schedule of retries", () => {
    const units: Record<string, number> = { s: 1, min: 60, h: 3_600 };
    const row = /^\| after the one before \| at once \|(.*)\|$/m.exec(section("## Retries"))?.[1] ?? "";
    const seconds = row.split("|").map((cell) => {
      const [count = "", unit = ""] = cell.trim().split(" ");
      return Number(count) * (units[unit] ?? Number.NaN);
    });
    const delays = setting("WEBHOOK_RETRY_SECONDS").split(",").map(Number);
    expect([0, ...seconds]).toEqual(delays);
    const hours = delays.reduce((sum, delay) => sum + delay, 0) / 3_600;
    expect(section("## Retries")).toContain(`about ${Math.floor(hours)} hours`);
  });

  it("has the limits of production", () => {
    const limits = section("## Rate limits and the circuit breaker");
    for (const name of ["WEBHOOK_RATE_PER_MINUTE", "WEBHOOK_BURST", "WEBHOOK_GLOBAL_PER_MINUTE"]) {
      const shown = Number(setting(name, true)).toLocaleString("en-US");
      expect(limits).toMatch(new RegExp(`\\| \`${name}\` \\| ${shown} \\|`));
    }
    expect(section("## Receive")).toContain(`within ${setting("WEBHOOK_TIMEOUT_SECONDS", true)} seconds`);
  });

  it("says what each class of errors means", () => {
    const classes = {
      blocked_destination: true,
      dns_failure: true,
      tls_error: true,
      timeout: true,
      network_error: true,
      oauth2_failed: true,
      secrets_unreadable: true,
    } satisfies Record<ErrorClass, true>;
    const told = [...section("## When something goes wrong").matchAll(/`lastError: "(\w+)"`/g)];
    expect(told.map(([, error]) => error).toSorted()).toEqual(Object.keys(classes).toSorted());
  });

  it.each([
    ["ts", typescriptReceiver],
    ["python", pythonReceiver],
    ["go", goReceiver],
  ])("shows code of the receivers as it is: %s", (language, receiver) => {
    const shown = blocks(language, section("## Receive"));
    expect(shown.length).toBeGreaterThan(0);
    const flush = (text: string) => text.replace(/^[ \t]+/gm, "");
    for (const code of shown.flatMap((block) => block.split("\n\n"))) {
      expect(flush(receiver)).toContain(flush(code));
    }
  });

  it("leads to sections that exist", () => {
    const headings = [...guide.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replace(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    for (const [, anchor] of guide.matchAll(/\]\(#([^)]+)\)/g)) expect(headings).toContain(anchor);
  });
});
