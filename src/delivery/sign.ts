// The signatures of a notification: Standard Webhooks over `id.timestamp.body`, HMAC-SHA256 (`v1`) for each
// shared secret and Ed25519 (`v1a`) for each of the deployment's keys, several of both while one rotates; and
// the older A2A convention, an HMAC of the body alone.
//
// The older one signs neither id nor time, so it cannot stop a replay; it is sent for receivers that know no
// other, with the current secret only, since it holds one value.

import { createHmac } from "node:crypto";
import { type SigningKeys, signEd25519 } from "../keys/signing-keys.ts";
import { decodeBase64, encodeBase64 } from "../lib/base64.ts";
import { HEADER_TEXT } from "../protocol/limited-text.ts";

export type Signed = {
  /** `webhook-id`; holds no dot. */
  id: string;
  /** Of this attempt, so that a receiver takes a late retry. */
  timestampSeconds: number;
  body: string;
  taskId: string;
  /** The shared secrets, the current one first; may be empty. */
  secrets: readonly string[];
  signingKeys: SigningKeys;
};

/** The headers that let a receiver check who sent a notification, that nobody changed it, and when it was sent. */
export function signatureHeaders(signed: Signed): Record<string, string> {
  const { id, timestampSeconds, body, taskId, secrets, signingKeys } = signed;
  const timestamp = String(timestampSeconds);
  const content = encoder.encode(`${id}.${timestamp}.${body}`);
  const shared = secrets.map((secret) => `v1,${hmac(keyBytes(secret), content).digest("base64")}`);
  const own = signEd25519(signingKeys, content).map(({ signature }) => `v1a,${encodeBase64(signature)}`);
  const headers: Record<string, string> = {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": [...shared, ...own].join(" "),
  };
  const [current] = secrets;
  if (current === undefined) return headers;
  return {
    ...headers,
    "X-A2A-Signature": `sha256=${hmac(encoder.encode(current), encoder.encode(body)).digest("hex")}`,
    "X-A2A-Timestamp": timestamp,
    // A client may have chosen an id that no header can hold.
    "X-A2A-Task-ID": HEADER_TEXT.test(taskId) ? taskId : encodeURIComponent(taskId),
  };
}

const encoder = new TextEncoder();
const PREFIX = "whsec_";

/** The key of a secret for Standard Webhooks: what follows `whsec_` is base64, any other secret is its own key. */
function keyBytes(secret: string): Uint8Array {
  const decoded = secret.startsWith(PREFIX) ? decodeBase64(secret.slice(PREFIX.length)) : undefined;
  // A prefix without base64 is refused where it is configured; here a notification is better signed than not.
  return decoded !== undefined && decoded.byteLength > 0 ? decoded : encoder.encode(secret);
}

function hmac(bytes: Uint8Array, content: Uint8Array) {
  return createHmac("sha256", bytes).update(content);
}
