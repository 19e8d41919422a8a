// LimitsObject: how many webhooks the whole deployment sends a minute. There is one, named "global"; endpoints fetch
// blocks of tokens from it, so it is asked far less often than notifications are sent.
//
// Its bucket is in memory only. An object that is evicted has not been asked for longer than the bucket takes to
// fill, and one that crashes gives one burst too many: a row for each block would cost more than that.

import { DurableObject } from "cloudflare:workers";
import { loadConfig } from "../config.ts";
import { type Bucket, type Rate, take, tokensAt } from "../lib/bucket.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { blockOf } from "./share.ts";

export const LIMITS_NAME = "global";

export class LimitsObject extends DurableObject<Env> {
  readonly #rate: Rate;
  #bucket: Bucket | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const config = loadConfig(env);
    if (!config.ok) throw new Error(config.error.join("; "));
    const perMinute = config.value.webhookGlobalPerMinute;
    // Two blocks are six seconds' worth: a burst that is enough for everybody to begin.
    this.#rate = { perMinute, burst: 2 * blockOf(perMinute) };
  }

  /** Gives up to `want` tokens. If there is none, says when (ms) there will be all of them: until then nobody asks. */
  async grant(want: number): Promise<Result<{ tokens: number }, { retryAt: number }>> {
    const most = Math.max(1, Math.min(Math.floor(want), blockOf(this.#rate.perMinute)));
    if (this.#rate.perMinute === 0) return ok({ tokens: most });
    const now = Date.now();
    const tokens = Math.min(most, tokensAt(this.#bucket, this.#rate, now));
    const taken = take(this.#bucket, this.#rate, now, tokens === 0 ? most : tokens);
    if (!taken.ok) return err(taken.error);
    this.#bucket = taken.value;
    return ok({ tokens });
  }
}
