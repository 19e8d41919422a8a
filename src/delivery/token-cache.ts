// The OAuth2 tokens of one EndpointObject, in its memory only: one for each client, token server, scope and audience.
//
// A token is fetched once for all who want it, replaced before it expires, and thrown away once when the receiver
// refuses it; a second refusal soon after is not the token's fault. How often a token server may be asked for all of
// them is for TokenServers to say.

import type { Rate } from "../lib/bucket.ts";
import { sha256 } from "../lib/bytes.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { FetchToken, OAuth2Client, OAuth2Failure } from "./oauth2.ts";
import { TokenServers } from "./token-servers.ts";

/** A token is replaced when a tenth of its life is left, or this much if that is less. */
const EARLY_MS = 60_000;
/** A token that replaced a rejected one is not taken for the fault again before it is this old. */
const REJECT_AGAIN_MS = 60_000;
const MAX_TOKENS = 1_000;

type Held = {
  token?: { value: string; refreshAt: number; expiresAt: number };
  /** When the token was fetched because the one before was rejected. */
  replacedAt?: number;
  fetching?: Promise<Result<string, OAuth2Failure>>;
};

/** The tokens of one EndpointObject, one for each client, token server, scope and audience. */
export class TokenCache {
  readonly #held = new Map<string, Held>();
  readonly #servers: TokenServers;
  readonly #fetchToken: FetchToken;
  readonly #now: () => number;

  /** `rate`: of requests to all token servers of one origin; 0 a minute: unlimited. */
  constructor({ fetchToken, rate, now }: { fetchToken: FetchToken; rate: Rate; now: () => number }) {
    this.#servers = new TokenServers(rate);
    this.#fetchToken = fetchToken;
    this.#now = now;
  }

  /** A token that has not expired, fetched if need be; one that is being fetched is waited for. */
  async token(client: OAuth2Client): Promise<Result<string, OAuth2Failure>> {
    const held = this.#hold(await keyOf(client));
    const { token } = held;
    if (token && this.#now() < token.refreshAt) return ok(token.value);
    const result = await this.#fetchOnce(held, client);
    if (result.ok || held.token === undefined) return result;
    // A server that fails while there is time left does no harm yet.
    return this.#now() < held.token.expiresAt ? ok(held.token.value) : result;
  }

  /** The receiver refused this token. Answers whether another one is worth an attempt at once. */
  async rejected(client: OAuth2Client, value: string): Promise<boolean> {
    const held = this.#hold(await keyOf(client));
    // Another notification's refusal has been here first.
    if (held.token?.value !== value) return true;
    const now = this.#now();
    if (held.replacedAt !== undefined && Math.abs(now - held.replacedAt) < REJECT_AGAIN_MS) return false;
    delete held.token;
    held.replacedAt = now;
    return true;
  }

  /** Forgets all tokens and their servers; one that is being fetched is not kept. */
  clear(): void {
    this.#held.clear();
    this.#servers.clear();
  }

  #fetchOnce(held: Held, client: OAuth2Client): Promise<Result<string, OAuth2Failure>> {
    held.fetching ??= this.#fetch(held, client).finally(() => {
      delete held.fetching;
    });
    return held.fetching;
  }

  async #fetch(held: Held, client: OAuth2Client): Promise<Result<string, OAuth2Failure>> {
    const { tokenUrl } = client;
    const refusal = this.#servers.refusal(tokenUrl, this.#now());
    if (refusal) return err(refusal);
    const fetched = await this.#fetchToken(client);
    const now = this.#now();
    if (!fetched.ok) {
      this.#servers.failed(tokenUrl, fetched.error, now);
      return fetched;
    }
    this.#servers.answered(tokenUrl);
    const { value, expiresInMs } = fetched.value;
    const expiresAt = now + expiresInMs;
    held.token = { value, refreshAt: expiresAt - Math.min(EARLY_MS, expiresInMs / 10), expiresAt };
    return ok(value);
  }

  #hold(key: string): Held {
    const known = this.#held.get(key);
    if (known) return known;
    // Tokens come again by being fetched; a cache that may forget needs no more order than this.
    if (this.#held.size >= MAX_TOKENS) this.#held.clear();
    const held: Held = {};
    this.#held.set(key, held);
    return held;
  }
}

/** Everything that decides which token it is. The secret too: a new one must not use what the old one got. */
function keyOf(client: OAuth2Client): Promise<string> {
  const { tokenUrl, clientId, clientSecret, scope, audience, method } = client;
  return sha256(JSON.stringify([tokenUrl, clientId, clientSecret, scope ?? null, audience ?? null, method]));
}
