// The Worker as it is deployed, bundled by wrangler, for servers that run it without the development proxy.
//
// A build is kept under the fingerprint of its sources, so that a second start does not build again, and is
// moved into place when it is complete, so that two processes may build at once.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Refusal } from "./command.ts";
import { root, wrangler } from "./project.ts";

const builds = join(root, "dist");

/** A build may be in use by a server that started before the sources changed. */
const KEEP_MS = 86_400_000;

/** Builds the Worker where its sources have changed, and returns the folder that holds `index.js`. */
export async function buildWorker(): Promise<string> {
  const name = `worker-${await fingerprint()}`;
  const folder = join(builds, name);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}.tmp`;
  const { code, output } = await wrangler(["deploy", "--dry-run", "--env=", "--outdir", draft], "collect");
  if (code !== 0) throw new Refusal(`The Worker does not build:\n${output.trim()}`);
  await place(draft, folder);
  await removeOld();
  return folder;
}

async function place(draft: string, folder: string): Promise<void> {
  try {
    await rename(draft, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
    // Another process was faster, with the same sources.
    await rm(draft, { recursive: true, force: true });
  }
}

/** Removes builds, and drafts of builds that were killed, which nobody can be using any more. */
async function removeOld(): Promise<void> {
  for (const name of await readdir(builds)) {
    if (!name.startsWith("worker-")) continue;
    const folder = join(builds, name);
    // Gone already: another process has moved or removed it.
    const { mtimeMs } = await stat(folder).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > KEEP_MS) await rm(folder, { recursive: true, force: true });
  }
}

async function fingerprint(): Promise<string> {
  const hash = createHash("sha256");
  const sources = (await readdir(join(root, "src"), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of [join(root, "wrangler.toml"), join(root, "package-lock.json"), ...sources]) {
    hash.update(`${file}\0`).update(await readFile(file));
  }
  return hash.digest("hex").slice(0, 16);
}
