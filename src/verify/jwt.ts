// The token of a config with `jwt`: a JWT (RFC 7519) as a compact JWS, signed by the deployment.
//
// What the token says about itself decides nothing: the algorithm must be one of two, and the one of the key that
// `kid` names (RFC 8725 §3.1). All claims are checked here, but for the replay of `jti`, which comes last of all.

import {
  decodeBase64Url,
  fromUtf8,
  isEqual,
  isText,
  isTextOrTexts,
  parseObject,
  sha256,
  toHex,
  toUtf8,
} from "./encoding.ts";
import { isSignedBy, type KeySource, type PublicKey } from "./jwks.ts";
import { tasksOf } from "./notification.ts";
import { type Checked, passed, refused } from "./refusal.ts";

export type JwtOptions = {
  /** `iss`: the base URL of the deployment, or `a2a-edge` where it has none. Several: any of them. */
  issuer: string | readonly string[];
  /** `aud`: the config's audience, by default the origin of the webhook's URL. Several: any of them. */
  audience: string | readonly string[];
};

export type JwtClaims = {
  iss: string;
  aud: string | readonly string[];
  /** Seconds since 1970. */
  iat: number;
  exp: number;
  jti: string;
  taskId: string;
};

const MAX_LENGTH = 8_192;
/** How much the clocks of sender and receiver may differ. */
const SKEW_SECONDS = 30;

export const JWT_SKEW_MS = SKEW_SECONDS * 1_000;

export async function verifyJwt(
  token: string,
  body: Uint8Array<ArrayBuffer>,
  { keys, jwt, now }: { keys: KeySource; jwt: JwtOptions; now: number },
): Promise<Checked<JwtClaims>> {
  const parts = token.split(".");
  const [header = "", payload = "", signature = ""] = parts;
  const head = decodeObject(header);
  const claims = decodeObject(payload);
  const signed = decodeBase64Url(signature);
  if (token.length > MAX_LENGTH || parts.length !== 3 || !head || !claims || !signed || "crit" in head) {
    return refused("jwt_malformed", "no compact JWS with a JSON header and JSON claims");
  }
  if (head.alg !== "EdDSA" && head.alg !== "ES256")
    return refused("jwt_algorithm", "neither EdDSA nor ES256");
  const found = await findKeys(keys, head.kid);
  if (!found.ok) return found;
  const usable = found.value.filter(({ alg }) => alg === head.alg);
  if (usable.length === 0) return refused("jwt_algorithm", `the key is not one for ${head.alg}`);
  const content = toUtf8(`${header}.${payload}`);
  const verified = await Promise.all(usable.map((key) => isSignedBy(key, signed, content)));
  if (!verified.includes(true)) return refused("jwt_signature", "the signature of the token does not fit");
  return checkClaims(claims, body, { jwt, now });
}

/** The key of that id, or all where the token names none. */
async function findKeys(keys: KeySource, kid: unknown): Promise<Checked<readonly PublicKey[]>> {
  const loaded = await keys.load();
  if (!loaded.ok || kid === undefined) return loaded;
  const named = (all: readonly PublicKey[]) => all.filter((key) => key.kid === kid);
  const found = named(loaded.value);
  if (found.length > 0) return passed(found);
  const newer = named((await keys.reload()) ?? []);
  return newer.length > 0 ? passed(newer) : refused("jwt_unknown_key", "no key has the token's kid");
}

async function checkClaims(
  claims: Record<string, unknown>,
  body: Uint8Array<ArrayBuffer>,
  { jwt, now }: { jwt: JwtOptions; now: number },
): Promise<Checked<JwtClaims>> {
  const { iss, aud, iat, exp, nbf, jti, taskId, request_body_sha256: hash } = claims;
  const isComplete = typeof iss === "string" && isTime(iat) && isTime(exp) && isText(jti) && isText(taskId);
  if (!isComplete || !isTextOrTexts(aud) || (nbf !== undefined && !isTime(nbf))) {
    return refused("jwt_claims", "iss, aud, iat, exp, jti and taskId must all be there");
  }
  const seconds = now / 1_000;
  if (seconds >= exp + SKEW_SECONDS) return refused("jwt_expired", "exp has passed");
  if (Math.max(iat, nbf ?? iat) > seconds + SKEW_SECONDS) {
    return refused("jwt_not_yet_valid", "iat or nbf has not come yet");
  }
  if (!toList(jwt.issuer).includes(iss)) return refused("jwt_issuer", "iss is somebody else");
  if (!toList(aud).some((audience) => toList(jwt.audience).includes(audience))) {
    return refused("jwt_audience", "aud is somebody else");
  }
  if (hash !== undefined && !isEqual(String(hash), toHex(await sha256(body)))) {
    return refused("jwt_body", "request_body_sha256 is not the body's");
  }
  if (!tasksOf(body).includes(taskId)) return refused("jwt_task", "taskId is not the body's");
  return passed({ iss, aud, iat, exp, jti, taskId });
}

function decodeObject(part: string): Record<string, unknown> | undefined {
  const bytes = decodeBase64Url(part);
  const text = bytes && fromUtf8(bytes);
  return text === undefined ? undefined : parseObject(text);
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function toList(value: string | readonly string[]): readonly string[] {
  return typeof value === "string" ? [value] : value;
}
