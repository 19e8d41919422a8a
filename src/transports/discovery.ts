// Agent cards (§8.2, §8.6): public, cacheable, the same for everybody.

import type { Agent } from "../agents/agent.ts";
import type { Config } from "../config.ts";
import { sha256 } from "../lib/bytes.ts";
import { agentCard } from "../operations/card.ts";
import { baseUrl, requireVersion } from "./call.ts";

export const CARD_PATH = "/.well-known/agent-card.json";

export type CardRequest = {
  request: Request;
  agent: Agent;
  config: Config;
  /**
   * When this isolate answered its first request, in milliseconds. Its code and settings cannot change, so no
   * card of it is younger. Another isolate says another time, which costs a client without ETag one download.
   */
  bornAt: number;
};

export async function serveCard({ request, agent, config, bornAt }: CardRequest): Promise<Response> {
  // The card of 0.3 has another form at this very path, and is not served.
  requireVersion(request, true);
  const body = JSON.stringify(agentCard(agent, config, baseUrl(config, request)));
  const etag = `"${(await sha256(body)).slice(0, 32)}"`;
  const headers = {
    "cache-control": "public, max-age=300",
    etag,
    "last-modified": new Date(bornAt).toUTCString(),
    vary: "A2A-Version",
    "a2a-version": "1.0",
  };
  if (isFresh(request.headers, etag, bornAt)) return new Response(null, { status: 304, headers });
  return new Response(body, { headers: { ...headers, "content-type": "application/json" } });
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
