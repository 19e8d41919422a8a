// What `npm run receiver` verifies of a notification: all that its options name. Where they name neither secret nor
// token, both are made up for its example, and a notification with that token is verified with them.

import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import {
  type Checked,
  createMemorySeen,
  createVerifier,
  type Verified,
  type VerifierOptions,
} from "../src/verify/index.ts";
import { checkToken } from "../src/verify/verifier.ts";
import { Refusal } from "./command.ts";

export type CheckOptions = {
  secrets: string[];
  token: string | undefined;
  /** undefined: keys are not used. */
  jwksUrl: string | undefined;
  /** Where this receiver is: `aud` of tokens made for it. */
  url: string;
};

export type Verdict = Checked<Pick<Verified, "id" | "checks">>;

export type Checks = {
  check(arrived: { headers: IncomingHttpHeaders; body: Uint8Array }): Promise<Verdict>;
  /** Secret and token for an example of a config. */
  example: { secret?: string; token?: string };
};

export function createChecks({ secrets, token, jwksUrl, url }: CheckOptions): Checks {
  const madeUp =
    secrets.length === 0 && token === undefined
      ? {
          secret: `whsec_${randomBytes(32).toString("base64")}`,
          token: randomBytes(12).toString("base64url"),
        }
      : undefined;
  const keys: VerifierOptions = { seen: createMemorySeen(), ...(jwksUrl !== undefined && { jwksUrl }) };
  const named: VerifierOptions = {
    ...keys,
    ...(secrets.length > 0 && { secrets }),
    ...(token !== undefined && { token }),
  };
  const [issuer, audience] = [issuersOf(jwksUrl), [url, url.replace("127.0.0.1", "localhost")]];
  const ofExample = madeUp && toVerifier({ ...keys, secrets: [madeUp.secret], token: madeUp.token });
  const plain = secrets.length === 0 && jwksUrl === undefined ? undefined : toVerifier(named);
  const withJwt = jwksUrl === undefined ? undefined : toVerifier({ ...named, jwt: { issuer, audience } });

  return {
    example: madeUp ?? { ...(secrets[0] && { secret: secrets[0] }), ...(token && { token }) },
    async check(arrived) {
      const { headers } = arrived;
      if (ofExample && headers["a2a-notification-token"] === madeUp?.token) return ofExample.verify(arrived);
      // Another token may be what the config was told to send: only the sender's own can be verified.
      if (withJwt && issuer.includes(issuerOf(headers.authorization))) return withJwt.verify(arrived);
      if (plain) return plain.verify(arrived);
      const unsigned = (checks: Verified["checks"]): Verdict => ({
        ok: true,
        value: { id: String(headers["webhook-id"]), checks },
      });
      if (token === undefined) return unsigned([]);
      const checked = await checkToken(headers, token);
      return checked.ok ? unsigned(["token"]) : checked;
    },
  };
}

function toVerifier(options: VerifierOptions) {
  try {
    return createVerifier(options);
  } catch (error) {
    throw new Refusal((error as Error).message);
  }
}

/** A server without PUBLIC_URL calls itself a2a-edge. */
function issuersOf(jwksUrl: string | undefined): string[] {
  return jwksUrl === undefined ? [] : ["a2a-edge", new URL(jwksUrl).origin];
}

/** The `iss` that a token claims, before anything is verified. */
function issuerOf(authorization: string | undefined): string {
  const payload = /^Bearer +[\w-]+\.([\w-]+)\.[\w-]+$/i.exec(authorization ?? "")?.[1] ?? "";
  try {
    return String(JSON.parse(Buffer.from(payload, "base64url").toString()).iss);
  } catch {
    return "";
  }
}
