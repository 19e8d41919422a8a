// The worked example of docs/webhooks.md, verified as a receiver would: by our verifier and by a package that knows
// nothing of us. A number in the guide that is wrong costs somebody a day.

import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import guide from "../../docs/webhooks.md?raw";
import { createVerifier } from "../../src/verify/index.ts";

const example = guide.slice(guide.indexOf("### A worked example"), guide.indexOf("### The older header"));

/** The content of the fenced blocks of a language, without their last line feed. */
function blocks(language: string): string[] {
  const fences = example.matchAll(/^```(\w*)\n([\s\S]*?)\n```$/gm);
  return [...fences].flatMap(([, of, text]) => (of === language && text !== undefined ? [text] : []));
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
