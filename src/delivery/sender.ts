// One attempt, from the claim to its settlement: open the secrets, authorize, sign, send, judge the answer. Nothing
// is decided here about when, or whether again.
//
// A token that the receiver refuses is replaced once, within the same attempt: it may have been revoked before its
// time, which is nobody's failure. All of it has one deadline: whoever waits for an attempt to be over waits no longer.

import type { KeyRing } from "../keys/ring.ts";
import { open } from "../keys/sealing.ts";
import type { SigningKeys } from "../keys/signing-keys.ts";
import { orLate } from "../lib/or-late.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { Outbound, OutboundAnswer } from "../outbound/fetch.ts";
import { log } from "../telemetry/log.ts";
import { type Authorization, authorize } from "./authorize.ts";
import type { Claim, Settlement } from "./exchange.ts";
import { classify, type ErrorClass, parseRetryAfter, released } from "./outcome.ts";
import { type PushSecrets, sealingContext } from "./push-secrets.ts";
import { toRequest } from "./request.ts";
import type { TokenCache } from "./token-cache.ts";

export type SenderOptions = {
  outbound: Outbound;
  tokens: TokenCache;
  ring: KeyRing;
  signingKeys: SigningKeys;
  /** `iss` of the tokens that we sign. */
  issuer: string;
  /** Of a whole attempt, with all its tokens. */
  timeoutMs: number;
  now(): number;
};

export type Send = (claim: Claim, signal: AbortSignal) => Promise<Settlement>;

/** A request is given at least so long, or half of the attempt if that is less. A token has to be there by then. */
const SHORTEST_TRY_MS = 1_000;

type Unanswered = { error: ErrorClass | "aborted"; detail: string };

export function createSend(options: SenderOptions): Send {
  const { outbound, tokens, ring, signingKeys, issuer, timeoutMs, now } = options;
  const shortestMs = Math.min(SHORTEST_TRY_MS, timeoutMs / 2);

  return async (claim, signal) => {
    let startedAt = now();
    const deadline = startedAt + timeoutMs;
    const answer = await attempt();
    return settle(answer);

    async function attempt(): Promise<Result<OutboundAnswer, Unanswered>> {
      const secrets = await openSecrets(ring, claim);
      if (!secrets.ok) return secrets;
      const first = await authorized(secrets.value);
      if (!first.ok) return first;
      startedAt = now();
      const answer = await send(secrets.value, first.value);
      const fetched = first.value?.fetched;
      if (!answer.ok || !fetched || classify(answer) !== "unauthorized") return answer;
      if (!(await tokens.rejected(fetched.client, fetched.token))) return answer;
      const second = await authorized(secrets.value);
      // Without another token the receiver's answer stands.
      if (!second.ok) return second.error.error === "aborted" ? second : answer;
      return send(secrets.value, second.value);
    }

    /** Not more than a whole attempt, should the clock have been put back. */
    function leftMs(): number {
      return Math.min(timeoutMs, deadline - now());
    }

    async function authorized(secrets: PushSecrets): Promise<Result<Authorization | undefined, Unanswered>> {
      const context = { issuer, signingKeys, tokens, now: now() };
      // Only a token that has to be fetched may take long.
      if (!claim.options.oauth2) return authorize(claim, secrets, context);
      const late = err({ error: "oauth2_failed" as const, detail: "there was no token in time" });
      if (leftMs() < shortestMs) return late;
      const early = orLate(authorize(claim, secrets, context), leftMs() - shortestMs);
      const authorization = await beforeAbort(signal, early);
      if (signal.aborted) return err({ error: "aborted", detail: "" });
      return authorization && leftMs() >= shortestMs ? authorization : late;
    }

    async function send(
      secrets: PushSecrets,
      authorization: Authorization | undefined,
    ): Promise<Result<OutboundAnswer, Unanswered>> {
      const request = toRequest({
        claim,
        secrets,
        signingKeys,
        now: now(),
        authorization: authorization?.value,
        timeoutMs: Math.max(shortestMs, leftMs()),
        signal,
      });
      return outbound.send(request);
    }

    function settle(result: Result<OutboundAnswer, Unanswered>): Settlement {
      const { key, id, attempt } = claim;
      const common = { key, id, attempt, startedAt, durationMs: now() - startedAt };
      if (result.ok) return { ...common, ...judge(result.value) };
      const { error, detail } = result.error;
      if (error === "aborted") return released(claim);
      log("info", "a notification was not answered", {
        task: claim.task,
        config: claim.config,
        error,
        detail,
      });
      return { ...common, outcome: classify(err({ error })), error };
    }
  };

  function judge(
    answer: OutboundAnswer,
  ): Pick<Settlement, "outcome" | "status" | "response" | "retryAfterMs"> {
    const outcome = classify(ok(answer));
    const { status, headers, text } = answer;
    if (outcome === "delivered") return { outcome, status };
    const retryAfterMs = parseRetryAfter(headers["retry-after"], now());
    return {
      outcome,
      status,
      ...(text !== "" && { response: text }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    };
  }
}

async function openSecrets(ring: KeyRing, claim: Claim): Promise<Result<PushSecrets, Unanswered>> {
  const { sealed, task, config } = claim;
  if (sealed === null) return ok({});
  const opened = await open(ring, sealed, sealingContext(task, config));
  if (!opened.ok) return err({ error: "secrets_unreadable", detail: opened.error });
  try {
    return ok(JSON.parse(opened.value) as PushSecrets);
  } catch {
    return err({ error: "secrets_unreadable", detail: "not JSON" });
  }
}

/** What the promise gives, or undefined if the signal fires first: others may go on waiting for it. */
async function beforeAbort<T>(signal: AbortSignal, promise: Promise<T>): Promise<T | undefined> {
  let stop = () => {};
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
    // Nobody waits any more for what it may throw.
    promise.catch(() => {});
  }
}
