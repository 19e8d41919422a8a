// JWT_ISSUERS: whose access tokens are taken, and what is read in them. Part of the configuration, in a file of its own.
//
// Names that are not known are refused: a misspelt `audiance` that was passed over would be an audience that nobody
// checks.

import * as z from "zod/mini";
import { err, ok, type Result } from "./lib/result.ts";

/** Signatures that are made with a private key. HMAC is not among them, so no public key can be taken for its secret. */
const ALGORITHMS = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"],
  ...["EdDSA", "Ed25519"],
] as const;
const DEFAULT_ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"];
const MAX_ISSUERS = 16;

/** Where a claim stands: its name, and below it those of the objects that it is in, outermost first. */
export type ClaimPath = readonly string[];

export type Issuer = Readonly<{
  /** Exactly what `iss` says. */
  issuer: string;
  /** One of these must be in `aud`. */
  audiences: readonly string[];
  /** Undefined: what the issuer's metadata says (OpenID Connect Discovery 1.0 §4, RFC 8414). */
  jwksUrl: string | undefined;
  algorithms: readonly string[];
  /** What the owner is named by: the person with `sub`, or a workspace. */
  ownerClaim: ClaimPath;
  rolesClaim: ClaimPath | undefined;
  /** Undefined: `scope` (RFC 9068 §2.2.3) and `scp`. */
  scopeClaim: ClaimPath | undefined;
  /** The issuer's names of roles, and ours for each. Others give nothing. */
  rolesMap: ReadonlyMap<string, readonly string[]>;
  /** Roles of tokens that would allow nothing. */
  defaultRoles: readonly string[];
  clockSkewSeconds: number;
  /** What `typ` must be, such as `at+jwt` (RFC 9068 §2.1). */
  type: string | undefined;
}>;

const text = (max: number) =>
  z
    .string(`must be a text of 1 to ${max} characters`)
    .check(
      z.minLength(1, `must be a text of 1 to ${max} characters`),
      z.maxLength(max, `must be a text of 1 to ${max} characters`),
    );

const oneOrMore = <T extends z.ZodMiniType>(item: T, problem: string) =>
  z.pipe(
    z.transform((value) => (typeof value === "string" ? [value] : value)),
    z.array(item, problem).check(z.minLength(1, problem), z.maxLength(16, problem)),
  );

const claim = oneOrMore(text(255), "must be the name of a claim, or an array of names that leads to it");
const role = z
  .string("must be the name of a role")
  .check(z.regex(/^[a-z][a-z0-9-]{0,63}$/, "must be the name of a role: small letters, digits and -"));
const roles = oneOrMore(role, "must be the name of a role, or an array of 1 to 16");

const url = (what: string, forbidden: RegExp) =>
  z.string(`must be ${what}`).check(
    z.maxLength(512, "must have at most 512 characters"),
    z.refine((value) => isHttpUrl(value) && !forbidden.test(value), `must be ${what}`),
  );

function isHttpUrl(value: string): boolean {
  return /^https?:$/.test(URL.parse(value)?.protocol ?? "");
}

const Entry = z.strictObject(
  {
    // A query is no part of what metadata is looked for by (RFC 8414 §2).
    issuer: url("the URL that iss says, without query", /[\s@?#\\]/),
    audience: oneOrMore(text(255), "must be a text, or an array of 1 to 16"),
    jwksUrl: z.optional(url("the URL of a JWK set", /[\s@#\\]/)),
    algorithms: z._default(
      z
        .array(
          z.enum(ALGORITHMS, `must be one of ${ALGORITHMS.join(", ")}`),
          "must be an array of algorithms",
        )
        .check(z.minLength(1, "must name at least one algorithm")),
      DEFAULT_ALGORITHMS as (typeof ALGORITHMS)[number][],
    ),
    ownerClaim: z._default(claim, ["sub"]),
    rolesClaim: z.optional(claim),
    scopeClaim: z.optional(claim),
    rolesMap: z._default(
      z.record(z.string(), roles, "must be an object of names of roles"),
      {} as Record<string, string[]>,
    ),
    defaultRoles: z._default(roles, []),
    clockSkewSeconds: z._default(
      z
        .int("must be a whole number from 0 to 300")
        .check(z.gte(0, "must be at least 0"), z.lte(300, "must be at most 300")),
      30,
    ),
    typ: z.optional(text(64)),
  },
  {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `has ${issue.keys.join(", ")}, which is no setting of an issuer`
        : "must be an object",
  },
);

const Entries = z
  .array(Entry, "must be a JSON array of issuers")
  .check(z.maxLength(MAX_ISSUERS, `must have at most ${MAX_ISSUERS} issuers`));

/** Reads the issuers; the errors are one sentence each and name the entry and the field. */
export function parseIssuers(
  json: string,
  { httpsOnly }: { httpsOnly: boolean },
): Result<readonly Issuer[], string[]> {
  const parsed = Entries.safeParse(parseJson(json));
  if (!parsed.success) {
    return err(parsed.error.issues.map(({ path, message }) => `JWT_ISSUERS${toPath(path)} ${message}`));
  }
  const entries = parsed.data;
  const problems = entries.flatMap((entry, index) => {
    const at = (field: string) => `JWT_ISSUERS[${index}].${field}`;
    const found: string[] = [];
    for (const field of ["issuer", "jwksUrl"] as const) {
      if (httpsOnly && entry[field]?.startsWith("http:")) {
        found.push(`${at(field)} must be an https URL in production`);
      }
    }
    if (entries.findIndex(({ issuer }) => issuer === entry.issuer) < index) {
      found.push(`${at("issuer")} must not be that of another entry`);
    }
    // What an issuer calls admin is not an admin here unless somebody has said so.
    if ((entry.rolesClaim === undefined) !== (Object.keys(entry.rolesMap).length === 0)) {
      found.push(`${at("rolesClaim")} and rolesMap must be given together`);
    }
    return found;
  });
  return problems.length > 0 ? err(problems) : ok(Object.freeze(entries.map(toIssuer)));
}

function toIssuer(entry: z.infer<typeof Entry>): Issuer {
  const { audience, rolesMap, typ, jwksUrl, rolesClaim, scopeClaim, ...rest } = entry;
  return Object.freeze({
    ...rest,
    audiences: audience,
    jwksUrl,
    rolesClaim,
    scopeClaim,
    rolesMap: new Map(Object.entries(rolesMap)),
    type: typ,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toPath(path: readonly PropertyKey[]): string {
  return path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
}
