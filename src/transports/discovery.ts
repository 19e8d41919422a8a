// Agent cards (§8.2, §8.6): public, cacheable, the same for everybody who asks for the same form.
//
// Clients of 1.0 and of 0.3 ask the same path for cards that no one document can be, since kits refuse a 1.0 card with
// a field of 0.3. So A2A-Version decides, and a setting where a client names none.

import type { Agent } from "../agents/agent.ts";
import type { Config } from "../config.ts";
import { sha256 } from "../lib/bytes.ts";
import { agentCard } from "../operations/card.ts";
import type { SignCard } from "../operations/card-signatures.ts";
import { A2AError } from "../protocol/errors.ts";
import { toLegacyAgentCard } from "../protocol/v0_3/agent-card.ts";
import { CARD_VERSIONS, type CardVersion, servedVersions } from "../protocol/version.ts";
import { baseUrl, readVersion } from "./call.ts";

export const CARD_PATH = "/.well-known/agent-card.json";
/** Before 0.3 the card was here. It has the form of 0.3, whatever version is asked for. */
export const LEGACY_CARD_PATH = "/.well-known/agent.json";

export type CardRequest = {
  request: Request;
  agent: Agent;
  config: Config;
  signCard: SignCard;
  /** The only form that is served here; undefined: the one that is asked for. */
  version?: CardVersion | undefined;
  /**
   * When this isolate answered its first request with these settings, in milliseconds. Its code cannot change, so no
   * card of it is younger. Another isolate says another time, which costs a client without ETag one download.
   */
  bornAt: number;
};

export async function serveCard({ request, agent, config, ...rest }: CardRequest): Promise<Response> {
  const { bornAt } = rest;
  const version = rest.version ?? versionFor(request, config);
  if (!servedVersions(config).includes(version)) throw new A2AError("NOT_FOUND");
  const base = baseUrl(config, request);
  const card = agentCard(agent, config, base);
  // What a signature is of was not laid down before 1.0.
  const body = JSON.stringify(version === "1.0" ? await rest.signCard(card, base) : toLegacyAgentCard(card));
  const etag = `"${(await sha256(body)).slice(0, 32)}"`;
  const headers = {
    "cache-control": "public, max-age=300",
    etag,
    "last-modified": new Date(bornAt).toUTCString(),
    vary: "A2A-Version",
    "a2a-version": version,
  };
  if (isFresh(request.headers, etag, bornAt)) return new Response(null, { status: 304, headers });
  return new Response(body, { headers: { ...headers, "content-type": "application/json" } });
}

/** The one that is asked for, else the default one; where that is switched off, the other. */
function versionFor(request: Request, config: Config): CardVersion {
  const versions = servedVersions(config);
  const served = CARD_VERSIONS.filter((version) => versions.includes(version));
  const preset = config.defaultCardVersion;
  return readVersion(request, served) ?? (served.includes(preset) ? preset : (served[0] ?? preset));
}

/** RFC 9110 §13.2.2: If-Modified-Since counts only where there is no If-None-Match. */
function isFresh(headers: Headers, etag: string, modifiedAt: number): boolean {
  const noneMatch = headers.get("if-none-match");
  if (noneMatch !== null) {
    if (noneMatch.trim() === "*") return true;
    // Our tags hold no comma, so cutting another server's tag in two finds no match that is none. The comparison
    // is the weak one (§13.1.2).
    return noneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
  }
  const since = Date.parse(headers.get("if-modified-since") ?? "");
  // HTTP dates have whole seconds.
  return since >= Math.floor(modifiedAt / 1000) * 1000;
}
