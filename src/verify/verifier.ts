// Verifies notifications where they arrive. It depends on nothing but WebCrypto, so that it runs in Workers, in
// Node from version 20 on and in browsers.
//
// Whatever is configured must hold. A shared secret proves that it is about a config of yours; the deployment's
// Ed25519 key proves only who sent it, and that somebody there knows your URL.

import { isEqual, isText, isTextOrTexts, isTexts, sha256, toBytes, toHex, toUtf8 } from "./encoding.ts";
import {
  createFetchedKeys,
  createFixedKeys,
  type FetchJwks,
  isJwks,
  type Jwks,
  type KeySource,
} from "./jwks.ts";
import { JWT_SKEW_MS, type JwtClaims, type JwtOptions, verifyJwt } from "./jwt.ts";
import { type HeadersLike, readHeader } from "./notification.ts";
import { type Checked, passed, refused } from "./refusal.ts";
import type { Seen } from "./seen.ts";
import { checkBody, checkKeys, checkSecrets, createSecret } from "./signatures.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export type VerifierOptions = {
  /** The config's `secret`: a `v1` signature must be made with it. Several while it is being replaced: with any. */
  secrets?: readonly string[];
  /** The deployment's keys: a `v1a` signature must be made with one of them. Given, or fetched from `jwksUrl`. */
  jwks?: Jwks;
  jwksUrl?: string;
  /** Default: the platform's. */
  fetch?: FetchJwks;
  /** The config's `token`, which must stand in A2A-Notification-Token or X-A2A-Notification-Token. */
  token?: string;
  /** For a config with `jwt`: what its token must say. Needs the deployment's keys. */
  jwt?: JwtOptions;
  /** How far the time of a signature may be from now; default 300. */
  toleranceSeconds?: number;
  /** Where accepted requests are remembered, so that the same request is refused when it comes again. */
  seen?: Seen;
  /**
   * Takes X-A2A-Signature where there is no webhook-signature (default false). It signs the body alone: whoever has
   * seen one such request can send it again at any time.
   */
  acceptBodySignature?: boolean;
  /** In ms; default Date.now. */
  now?: () => number;
};

/** A notification as it arrived. The body must be the bytes that were sent: JSON that was parsed is not the same. */
export type Arrived = { headers: HeadersLike; body: string | Uint8Array | ArrayBuffer };

export type Check = "v1" | "v1a" | "body" | "token" | "jwt";

export type Verified = {
  /** The `webhook-id`, the same on every attempt: do nothing, and answer 2xx, if you have handled it already. */
  id: string;
  /** When this attempt was made. */
  timestampSeconds: number;
  /** What was checked, all of it with success. */
  checks: readonly Check[];
  claims?: JwtClaims;
};

export type Verifier = {
  /** Never rejects for what a sender sent; only if `seen` does. */
  verify(arrived: Arrived): Promise<Checked<Verified>>;
};

const DEFAULT_TOLERANCE_SECONDS = 300;
/** A dot would let the end of an id pass for the time. */
const ID = /^[\x21-\x2d\x2f-\x7e]{1,256}$/;

type Signed = { id: string; timestampSeconds: number; checks: Check[]; replayKey?: string };

/** Throws a TypeError when the options leave nothing to verify with, or are malformed. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { token, jwt, seen, now = Date.now } = options;
  const tolerance = options.toleranceSeconds ?? DEFAULT_TOLERANCE_SECONDS;
  refuseMalformed(options);
  const secrets = (options.secrets ?? []).map(createSecret);
  const keys = toKeySource(options, now);

  async function checkSigned(headers: HeadersLike, body: Bytes, header: string): Promise<Checked<Signed>> {
    const id = readHeader(headers, "webhook-id");
    if (id === undefined) return missing("webhook-id");
    if (!ID.test(id)) return refused("bad_id", "webhook-id holds a dot or is no printable text");
    const time = checkTime(headers, "webhook-timestamp");
    if (!time.ok) return time;
    const replayKey = `${id}.${time.value}`;
    const content = join(toUtf8(`${replayKey}.`), body);
    const checks: Check[] = [];
    if (secrets.length > 0) {
      const checked = await checkSecrets(secrets, header, content);
      if (!checked.ok) return checked;
      checks.push(checked.value);
    }
    // After the secrets: whoever does not know them shall not make us fetch keys.
    if (keys) {
      const checked = await checkKeys(keys, header, content);
      if (!checked.ok) return checked;
      checks.push(checked.value);
    }
    return passed({ id, timestampSeconds: time.value, checks, replayKey });
  }

  /** The older form. A retry looks like its first attempt there, so there is nothing to tell a replay by. */
  async function checkOlder(headers: HeadersLike, body: Bytes, header: string): Promise<Checked<Signed>> {
    const time = checkTime(headers, "x-a2a-timestamp");
    if (!time.ok) return time;
    const checked = await checkBody(secrets, header, body);
    if (!checked.ok) return checked;
    return passed({ id: header, timestampSeconds: time.value, checks: [checked.value] });
  }

  function checkTime(headers: HeadersLike, name: string): Checked<number> {
    const text = readHeader(headers, name);
    if (text === undefined) return missing(name);
    if (!/^(0|[1-9]\d{0,11})$/.test(text)) return refused("bad_timestamp", `${name} is no number of seconds`);
    const age = Math.floor(now() / 1_000) - Number(text);
    if (age > tolerance) return refused("too_old", `sent ${age} s ago`);
    if (age < -tolerance) return refused("too_new", `sent ${-age} s from now`);
    return passed(Number(text));
  }

  async function checkJwt(headers: HeadersLike, body: Bytes): Promise<Checked<JwtClaims | undefined>> {
    if (!jwt || !keys) return passed(undefined);
    const authorization = readHeader(headers, "authorization");
    if (authorization === undefined) return missing("authorization");
    const bearer = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? "";
    return verifyJwt(bearer, body, { keys, jwt, now: now() });
  }

  /** Whether this request, and the token in it, come for the first time. */
  async function isFirst(
    { replayKey, timestampSeconds }: Signed,
    claims: JwtClaims | undefined,
  ): Promise<boolean> {
    if (!seen) return true;
    const untilMs = (timestampSeconds + tolerance + 1) * 1_000;
    if (replayKey !== undefined && !(await seen.add(replayKey, untilMs))) return false;
    return !claims || seen.add(`jti ${claims.jti}`, claims.exp * 1_000 + JWT_SKEW_MS);
  }

  async function verify({ headers, body: sent }: Arrived): Promise<Checked<Verified>> {
    const body = toBytes(sent);
    if (body === undefined) {
      return refused("bad_body", "not the text or the bytes that came, but something else");
    }
    const header = readHeader(headers, "webhook-signature");
    const older = options.acceptBodySignature && !keys ? readHeader(headers, "x-a2a-signature") : undefined;
    if (header === undefined && older === undefined) return missing("webhook-signature");
    const signed =
      header === undefined
        ? await checkOlder(headers, body, older ?? "")
        : await checkSigned(headers, body, header);
    if (!signed.ok) return signed;
    const { id, timestampSeconds, checks } = signed.value;
    if (token !== undefined) {
      const checked = await checkToken(headers, token);
      if (!checked.ok) return checked;
      checks.push("token");
    }
    const bearer = await checkJwt(headers, body);
    if (!bearer.ok) return bearer;
    const claims = bearer.value;
    if (claims) checks.push("jwt");
    // Last, so that what is refused for another reason is not held against its repetition.
    if (!(await isFirst(signed.value, claims))) return refused("replayed", "accepted before");
    return passed({ id, timestampSeconds, checks, ...(claims && { claims }) });
  }

  return { verify };
}

/** Without the help of types options may hold anything, which must not show with the first notification only. */
function refuseMalformed({
  secrets,
  token,
  jwks,
  jwksUrl,
  jwt,
  toleranceSeconds = 0,
}: VerifierOptions): void {
  const hasKeys = jwks || jwksUrl !== undefined;
  if (secrets !== undefined && !isTexts(secrets)) {
    throw new TypeError("secrets must be an array of texts that are not empty, and hold one at least");
  }
  if (!secrets && !hasKeys) throw new TypeError("secrets, jwks or jwksUrl must be given");
  if (token !== undefined && !isText(token)) throw new TypeError("token must be a text that is not empty");
  if (jwks && !isJwks(jwks)) throw new TypeError("jwks must be an object with an array of keys");
  if (jwt && !hasKeys) throw new TypeError("jwt needs jwks or jwksUrl");
  if (jwt && !(isTextOrTexts(jwt.issuer) && isTextOrTexts(jwt.audience))) {
    throw new TypeError("jwt needs issuer and audience, each a text or an array of texts");
  }
  if (typeof toleranceSeconds !== "number" || !(toleranceSeconds >= 0)) {
    throw new TypeError("toleranceSeconds must be a number that is not negative");
  }
}

function toKeySource(options: VerifierOptions, now: () => number): KeySource | undefined {
  if (options.jwks) return createFixedKeys(options.jwks);
  if (options.jwksUrl === undefined) return undefined;
  // Called without an object before it: a platform's fetch belongs to the global one.
  const fetchJwks = options.fetch ?? fetch;
  return createFetchedKeys(options.jwksUrl, (url, init) => fetchJwks(url, init), now);
}

/** Compared by hash, so that the time tells nothing about the token, its length included. */
export async function checkToken(headers: HeadersLike, expected: string): Promise<Checked<undefined>> {
  const sent =
    readHeader(headers, "a2a-notification-token") ?? readHeader(headers, "x-a2a-notification-token");
  if (sent === undefined) return missing("a2a-notification-token");
  const left = toHex(await sha256(toUtf8(sent)));
  const right = toHex(await sha256(toUtf8(expected)));
  return isEqual(left, right) ? passed(undefined) : refused("wrong_token", "the token is another one");
}

function missing(name: string) {
  return refused("missing_header", name);
}

function join(head: Bytes, tail: Bytes): Bytes {
  const joined = new Uint8Array(head.byteLength + tail.byteLength);
  joined.set(head);
  joined.set(tail, head.byteLength);
  return joined;
}
