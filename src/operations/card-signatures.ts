// Signed cards (§8.4): every key signs, so that during a rotation a client that knows only the old or only the new one
// can verify.
//
// What is signed is the card as it is served. Nothing in it is empty or a default that ProtoJSON drops, so it is its
// own canonical form for everybody: for who reads §8.4.1 by the letter and for the SDKs, which drop more.

import type { Config } from "../config.ts";
import { type SigningKeys, signDetached } from "../keys/signing-keys.ts";
import { canonicalize } from "../lib/jcs.ts";
import type { AgentCard, AgentCardSignature } from "../protocol/agent-card.ts";

/** Adds the signatures to a card; `baseUrl` is where the keys are published. */
export type SignCard = (card: AgentCard, baseUrl: string) => Promise<AgentCard>;

/** A card is some kilobytes. Their number is limited because a stranger may ask by as many host names as it likes. */
const REMEMBERED = 64;

/**
 * Creates what signs cards with these keys. A card that was signed lately is not signed again.
 *
 * In production only PUBLIC_URL is vouched for: without it the base URL is what a request says in its Host, and a
 * stranger could have a card signed that leads to another server.
 */
export function createCardSigner(
  keys: SigningKeys,
  { publicUrl, environment }: Pick<Config, "publicUrl" | "environment">,
): SignCard {
  /** By the signed text and the place of the keys, those used last at the end. */
  const remembered = new Map<string, AgentCardSignature[]>();

  return async (card, baseUrl) => {
    if (publicUrl === "" && environment === "production") return card;
    const text = canonicalize(card);
    const jku = `${baseUrl}/.well-known/jwks.json`;
    const place = `${jku} ${text}`;
    const signatures = remembered.get(place) ?? (await signDetached(keys, text, { typ: "JOSE", jku }));
    remembered.delete(place);
    remembered.set(place, signatures);
    for (const oldest of remembered.keys()) {
      if (remembered.size <= REMEMBERED) break;
      remembered.delete(oldest);
    }
    return { ...card, signatures };
  };
}
