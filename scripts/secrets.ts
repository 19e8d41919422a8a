// `npm run secrets`: prints new secrets for production, with the commands that set them. Nothing is stored: once set,
// Cloudflare does not show them again.
//
// `-- --rotate encryption|signing|admin` puts a new key in front of the local ones; with the secret itself in the
// environment (ENCRYPTION_KEYS=… npm run secrets -- --rotate encryption), it prints that one's successor instead.

import { parseArgs } from "node:util";
import { command, Refusal } from "./command.ts";
import {
  createSecrets,
  rotated,
  rotateLocal,
  SECRET_NAMES,
  type SecretName,
  secretsFile,
} from "./local-secrets.ts";
import { readProject } from "./project.ts";
import { readSettings } from "./settings.ts";

const USAGE = "Usage: npm run secrets [-- --rotate encryption|signing|admin]";

const names: Record<string, SecretName> = {
  encryption: "ENCRYPTION_KEYS",
  signing: "SIGNING_KEYS",
  admin: "ADMIN_KEY",
};

const afterwards: Record<SecretName, string> = {
  ENCRYPTION_KEYS: "Remove an old key when no config is left that was made while it was the first.",
  SIGNING_KEYS: "Remove the old key when receivers have fetched the new one from /.well-known/jwks.json.",
  ADMIN_KEY: "The key before opens nothing any more.",
};

command(async () => {
  const rotate = readArguments();
  if (rotate === undefined) return printFresh();
  const name = Object.hasOwn(names, rotate) ? names[rotate] : undefined;
  if (name === undefined) throw new Refusal(USAGE);
  const present = process.env[name];
  if (present !== undefined) {
    console.log(`${toCommand(name)}\n${rotated(name, present)}\n\n${afterwards[name]}`);
    return;
  }
  const { stateDir } = readSettings(readProject(), process.env);
  await rotateLocal(stateDir, name);
  console.log(
    `${secretsFile(stateDir)} has a new ${name}. Local servers use it from their next start.\n${afterwards[name]}`,
  );
});

function printFresh(): void {
  const secrets = createSecrets();
  console.log(
    "Set each with its command, which asks for the value below it, and keep a copy in a safe place.",
  );
  for (const name of SECRET_NAMES) console.log(`\n${toCommand(name)}\n${secrets[name]}`);
}

function toCommand(name: SecretName): string {
  return `npx wrangler secret put ${name} --env production`;
}

function readArguments(): string | undefined {
  try {
    return parseArgs({ options: { rotate: { type: "string" } } }).values.rotate;
  } catch (error) {
    throw new Refusal(`${(error as Error).message}\n${USAGE}`);
  }
}
