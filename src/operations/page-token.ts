// Page tokens: a place in a list, and a fingerprint of the list it was made for, so that a token never continues
// another one.

import { fromBase64Url, sha256, toBase64Url } from "../lib/bytes.ts";
import { A2AError } from "../protocol/errors.ts";

/** What tells one list from another: its owner, agent and filters. */
export async function fingerprintOf(list: readonly unknown[]): Promise<string> {
  return (await sha256(JSON.stringify(list))).slice(0, 16);
}

export function toPageToken(position: readonly (string | number)[], fingerprint: string): string {
  return toBase64Url(JSON.stringify([...position, fingerprint]));
}

/** The place that a token names; throws INVALID_PARAMS if it is none of this list. `parse` judges its form. */
export function parsePageToken<T>(
  token: string,
  fingerprint: string,
  parse: (position: unknown[]) => T | undefined,
): T {
  const found = read(token);
  const position = found && parse(found.slice(0, -1));
  if (position === undefined) throw badToken("was not made by this server");
  if (found?.at(-1) !== fingerprint) throw badToken("was made for a list with other filters");
  return position;
}

function read(token: string): unknown[] | undefined {
  try {
    const parsed: unknown = JSON.parse(fromBase64Url(token) ?? "");
    return Array.isArray(parsed) && typeof parsed.at(-1) === "string" ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function badToken(description: string): A2AError {
  return new A2AError("INVALID_PARAMS", { violations: [{ field: "pageToken", description }] });
}
