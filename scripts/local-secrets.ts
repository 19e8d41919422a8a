// The secrets of a deployment: made, kept for local servers, rotated.
//
// `npm start` and `npm run serve` make them once and keep them beside the data that is encrypted with them, so
// neither outlives the other. What the environment sets wins, as it does for vars.

import { createHash, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { link, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseKeyRing } from "../src/keys/ring.ts";
import { parseSigningKeys } from "../src/keys/signing-keys.ts";
import { Refusal } from "./command.ts";

export const SECRET_NAMES = ["ENCRYPTION_KEYS", "SIGNING_KEYS", "ADMIN_KEY"] as const;
export type SecretName = (typeof SECRET_NAMES)[number];
export type Secrets = Record<SecretName, string>;

export function secretsFile(stateDir: string): string {
  return join(stateDir, "secrets.json");
}

/** The secrets of a local server. Of two servers that start at once with the same state, both get the same. */
export async function ensureSecrets(
  stateDir: string,
  env: { readonly [name: string]: string | undefined },
): Promise<Secrets> {
  const given = SECRET_NAMES.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
  const kept = given.length === SECRET_NAMES.length ? {} : await keep(secretsFile(stateDir), stateDir);
  return { ...kept, ...Object.fromEntries(given) } as Secrets;
}

/** New ones; the admin's key is random enough not to be guessed, the others are of the form that src/keys reads. */
export function createSecrets(): Secrets {
  return {
    ENCRYPTION_KEYS: createEncryptionKey(1),
    SIGNING_KEYS: JSON.stringify([createSigningKey()]),
    ADMIN_KEY: createAdminKey(),
  };
}

/** A secret with a new key in front of those it has: it is used from now on, the others still open what they closed. */
export function rotated(name: SecretName, present: string): string {
  if (name === "ADMIN_KEY") return createAdminKey();
  const parsed = name === "ENCRYPTION_KEYS" ? parseKeyRing(present) : parseSigningKeys(present);
  if (!parsed.ok) throw new Refusal(`${parsed.error}.`);
  if (name === "SIGNING_KEYS") {
    const next = JSON.stringify([createSigningKey(), ...(JSON.parse(present) as object[])]);
    const checked = parseSigningKeys(next);
    if (!checked.ok) throw new Refusal(`${checked.error}: remove the oldest first.`);
    return next;
  }
  const versions = present.split(",").map((entry) => Number(entry.trim().split(":", 1)));
  const newest = Math.max(0, ...versions.filter(Number.isSafeInteger));
  const next = `${createEncryptionKey(newest + 1)},${present}`;
  const checked = parseKeyRing(next);
  if (!checked.ok) throw new Refusal(`${checked.error}: remove the oldest first.`);
  return next;
}

/** Rotates a secret of the local file, which is made if there is none. */
export async function rotateLocal(stateDir: string, name: SecretName): Promise<void> {
  const file = secretsFile(stateDir);
  const present = await keep(file, stateDir);
  const draft = await writeDraft(file, { ...present, [name]: rotated(name, present[name]) });
  await rename(draft, file);
}

/** Reads the file; makes it if there is none. */
async function keep(file: string, stateDir: string): Promise<Secrets> {
  const present = await read(file);
  if (present) return present;
  await mkdir(stateDir, { recursive: true });
  const draft = await writeDraft(file, createSecrets());
  try {
    // A link and not a rename: it never replaces what another process has made meanwhile.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const made = await read(file);
  if (!made) throw new Refusal(`${file} has been removed while it was read.`);
  return made;
}

/** Complete and on disk before anybody sees it under its name. */
async function writeDraft(file: string, secrets: Secrets): Promise<string> {
  const draft = `${file}.${randomUUID()}.tmp`;
  const handle = await open(draft, "wx", 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(secrets, null, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return draft;
}

async function read(file: string): Promise<Secrets | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Refusal(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
  }
  const secrets = parse(text);
  if (secrets) return secrets;
  // Not replaced: what is encrypted with the keys that were there would be lost.
  throw new Refusal(`${file} must be a JSON object with ${SECRET_NAMES.join(", ")}, each a text.`);
}

function parse(text: string): Secrets | undefined {
  try {
    const value = JSON.parse(text) as Partial<Secrets> | null;
    return SECRET_NAMES.every((name) => typeof value?.[name] === "string") ? (value as Secrets) : undefined;
  } catch {
    return undefined;
  }
}

function createEncryptionKey(version: number): string {
  return `${version}:${randomBytes(32).toString("base64")}`;
}

function createAdminKey(): string {
  return `admin_${randomBytes(32).toString("base64url")}`;
}

/** A private Ed25519 key as a JWK, whose id is its thumbprint (RFC 7638). */
function createSigningKey(): object {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { crv, d, kty, x } = privateKey.export({ format: "jwk" });
  const kid = createHash("sha256").update(JSON.stringify({ crv, kty, x })).digest("base64url");
  return { kty, crv, kid, d, x };
}
