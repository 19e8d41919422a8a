// The signatures of a notification, checked by those who did not write them: the `standardwebhooks` package, WebCrypto
// with the published key, and known digests.

import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { signatureHeaders } from "../../src/delivery/sign.ts";
import { publicJwks } from "../../src/keys/signing-keys.ts";
import { decodeBase64, encodeBase64 } from "../../src/lib/base64.ts";
import { keysOf, rfc8032, rfc8037 } from "../support/signing-keys.ts";

const k1 = { ...rfc8037, kid: "k1" };
const k2 = { ...rfc8032, kid: "k2" };

const whsec = `whsec_${encodeBase64(new Uint8Array(32).fill(3))}`;
const olderWhsec = `whsec_${encodeBase64(new Uint8Array(24).fill(4))}`;
const body = '{"statusUpdate":{"taskId":"0-1","text":"ü€😀"}}';
const timestampSeconds = Math.floor(Date.now() / 1_000);

function sign(secrets: string[], signingKeys = keysOf(k1), at = timestampSeconds) {
  return signatureHeaders({ id: "msg_1", timestampSeconds: at, body, taskId: "0-1", secrets, signingKeys });
}

const versions = (headers: Record<string, string>) =>
  headers["webhook-signature"]?.split(" ").map((signature) => signature.split(",")[0]);

describe("signatureHeaders", () => {
  it("satisfy the standardwebhooks package, with whsec_ and with plain secrets", async () => {
    const headers = await sign([whsec]);
    expect(new Webhook(whsec).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(olderWhsec).verify(body, headers)).toThrow("No matching signature");
    expect(() => new Webhook(whsec).verify(`${body} `, headers)).toThrow("No matching signature");

    const raw = new TextEncoder().encode("a plain secret with ü");
    const plain = await sign(["a plain secret with ü"]);
    expect(new Webhook(raw, { format: "raw" }).verify(body, plain)).toEqual(JSON.parse(body));
  });

  it("are of the attempt's own time, which may be now or past", async () => {
    const stale = await sign([whsec], keysOf(k1), timestampSeconds - 301);
    expect(() => new Webhook(whsec).verify(body, stale)).toThrow("too old");
    const { "webhook-timestamp": timestamp } = await sign([whsec]);
    expect(timestamp).toBe(String(timestampSeconds));
  });

  it("hold one v1 for each secret and one v1a for each key while they rotate", async () => {
    const headers = await sign([whsec, olderWhsec], keysOf(k2, k1));
    expect(versions(headers)).toEqual(["v1", "v1", "v1a", "v1a"]);
    for (const secret of [whsec, olderWhsec]) {
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    }
  });

  it("hold a v1a that the published key verifies over id.timestamp.body", async () => {
    const keys = keysOf(k2, k1);
    const headers = await sign([], keys);
    const content = new TextEncoder().encode(`msg_1.${timestampSeconds}.${body}`);
    const signatures = (headers["webhook-signature"] ?? "").split(" ");
    for (const [index, published] of publicJwks(keys).keys.entries()) {
      const { kty, crv, x } = published;
      const key = await crypto.subtle.importKey("jwk", { kty, crv, x }, "Ed25519", false, ["verify"]);
      const [, text = ""] = (signatures[index] ?? "").split(",");
      const signature = decodeBase64(text) ?? new Uint8Array();
      expect(await crypto.subtle.verify("Ed25519", key, signature, content)).toBe(true);
    }
  });

  it("without a secret are Ed25519 alone, and say nothing in the older headers", async () => {
    const headers = await sign([]);
    expect(versions(headers)).toEqual(["v1a"]);
    expect(Object.keys(headers)).toEqual(["webhook-id", "webhook-timestamp", "webhook-signature"]);
  });

  it("hold the older headers with the current secret as it is spelled", async () => {
    // printf '{"a":1}' | openssl dgst -sha256 -hmac whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    const headers = await signatureHeaders({
      id: "msg_1",
      timestampSeconds: 1_795_000_000,
      body: '{"a":1}',
      taskId: "0-1",
      secrets: ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", olderWhsec],
      signingKeys: keysOf(k1),
    });
    expect(headers).toMatchObject({
      "X-A2A-Signature": "sha256=a73fa34733bebc642d5226a0336a4027af4ac9cefd433477a891da2302f771d9",
      "X-A2A-Timestamp": "1795000000",
      "X-A2A-Task-ID": "0-1",
    });
  });

  it.each([
    ["a task/1.2", "a task/1.2"],
    ["tâche 1", "t%C3%A2che%201"],
    [" ", "%20"],
    ["😀", "%F0%9F%98%80"],
  ])("hold the id %j that a client chose as %s", async (taskId, header) => {
    const headers = await signatureHeaders({
      id: "msg_1",
      timestampSeconds,
      body,
      taskId,
      secrets: [whsec],
      signingKeys: keysOf(k1),
    });
    expect(headers["X-A2A-Task-ID"]).toBe(header);
    expect(new Headers(headers).get("x-a2a-task-id")).toBe(header);
  });
});
