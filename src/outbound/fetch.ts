// The one way out to the world. A request passes the guard, is sent once, and is over when its time is.
//
// Redirects are not followed: the address they lead to has passed no guard. A body is sent as it stands, with a
// Content-Length, since many receivers read a chunked one as empty.

import { err, ok, type Result } from "../lib/result.ts";
import { classifyError, toDetail } from "./failure.ts";
import { checkUrl, isPublicAddress, type UrlPolicy, type UrlProblem } from "./guard.ts";
import { readAnswer } from "./read-answer.ts";
import type { Resolve } from "./resolve.ts";

export type OutboundRequest = {
  url: string;
  method: "POST" | "GET";
  headers: Record<string, string>;
  body?: string;
  /** For all of it: finding the address, sending, and the answer with its body. */
  timeoutMs: number;
  /** Ends the request at once. */
  signal?: AbortSignal;
};

export type OutboundAnswer = {
  status: number;
  /** By lower-case name. */
  headers: Record<string, string>;
  /** The beginning of the body, whatever it is taken for UTF-8; of one that was not whole in time, what had come or nothing. */
  text: string;
  durationMs: number;
};

export type OutboundError = {
  error: "blocked_destination" | "dns_failure" | "tls_error" | "timeout" | "network_error" | "aborted";
  durationMs: number;
  /** For the log only: it may tell addresses. */
  detail: string;
};

export type Outbound = {
  send(request: OutboundRequest): Promise<Result<OutboundAnswer, OutboundError>>;
};

export type OutboundOptions = {
  policy: UrlPolicy;
  /** Needed unless the policy allows private targets; names are then not resolved. */
  resolve: Resolve | undefined;
  /** Default: the global one. */
  fetch?: typeof fetch | undefined;
  now(): number;
  /** How much of an answer's body is kept, in bytes, at most `maxBytes`; default 4,096. */
  keepBytes?: number;
  /** A body up to this length is read to its end, so that the connection can be used again; default 16,384. */
  maxBytes?: number;
};

/** URLs whose check is remembered: most requests go where others went before. */
const MAX_CHECKED = 1_000;

type Failure = { error: OutboundError["error"]; detail: string };

export function createOutbound(options: OutboundOptions): Outbound {
  const { policy, now, keepBytes = 4_096, maxBytes = 16_384 } = options;
  const fetch: typeof globalThis.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  const resolve = policy.allowPrivate ? undefined : options.resolve;
  if (resolve === undefined && !policy.allowPrivate) throw new Error("the address guard needs a resolver");
  const checked = new Map<string, Result<URL, UrlProblem>>();

  function check(text: string): Result<URL, UrlProblem> {
    const known = checked.get(text);
    if (known) return known;
    if (checked.size >= MAX_CHECKED) checked.clear();
    const result = checkUrl(text, policy);
    checked.set(text, result);
    return result;
  }

  async function attempt(
    request: OutboundRequest,
    deadline: Deadline,
  ): Promise<Result<Omit<OutboundAnswer, "durationMs">, Failure>> {
    const url = check(request.url);
    if (!url.ok) return err({ error: "blocked_destination", detail: url.error.description });
    if (resolve !== undefined) {
      const found = await deadline.race(resolve(url.value.hostname));
      if (found === undefined || deadline.passed()) return deadline.failure();
      if (!found.ok) return err({ error: found.error.error, detail: found.error.detail ?? "" });
      const inside = found.value.find((address) => !isPublicAddress(address));
      if (inside !== undefined) return err({ error: "blocked_destination", detail: `it leads to ${inside}` });
    }
    const { method, headers, body } = request;
    try {
      const sent = fetch(url.value.href, {
        method,
        headers,
        redirect: "manual",
        signal: deadline.signal,
        ...(body !== undefined && { body }),
      });
      const response = await deadline.race(sent);
      if (response === undefined) {
        // An answer that comes nevertheless is not wanted any more.
        sent.then((late) => late.body?.cancel()).catch(() => {});
        return deadline.failure();
      }
      const { bytes } = await readAnswer(response, maxBytes, deadline.over);
      if (deadline.passed() === "aborted") return deadline.failure();
      // The status is the verdict: a body that never ends, or breaks off, does not make it unsaid.
      const text =
        bytes.length === 0 ? "" : new TextDecoder().decode(bytes.subarray(0, keepBytes), { stream: true });
      return ok({ status: response.status, headers: Object.fromEntries(response.headers), text });
    } catch (error) {
      if (deadline.passed() !== undefined) return deadline.failure();
      return err({ error: classifyError(error, url.value, resolve !== undefined), detail: toDetail(error) });
    }
  }

  return {
    async send(request) {
      const startedAt = now();
      const deadline = startDeadline(request.timeoutMs, request.signal);
      try {
        const result = deadline.passed() ? deadline.failure() : await attempt(request, deadline);
        const durationMs = now() - startedAt;
        return result.ok ? ok({ ...result.value, durationMs }) : err({ ...result.error, durationMs });
      } finally {
        deadline.clear();
      }
    },
  };
}

type Deadline = {
  /** Fires when the time is over, or the caller's signal has fired. */
  signal: AbortSignal;
  passed(): "timeout" | "aborted" | undefined;
  /** Resolves when `signal` fires. Not a listener of it: each costs as much as a digest. */
  over: Promise<undefined>;
  failure(): { ok: false; error: Failure };
  /** What the promise settles to, or undefined if the deadline comes first. */
  race<T>(promise: Promise<T>): Promise<T | undefined>;
  clear(): void;
};

/** Not AbortSignal.timeout: its timer goes on when the request is over, and keeps the object it runs in awake. */
function startDeadline(timeoutMs: number, signal: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  const over = Promise.withResolvers<undefined>();
  let passed: "timeout" | "aborted" | undefined;
  const end = (reason: "timeout" | "aborted") => {
    passed ??= reason;
    controller.abort();
    over.resolve(undefined);
  };
  const abort = () => end("aborted");
  const timer = setTimeout(() => end("timeout"), timeoutMs);
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  return {
    signal: controller.signal,
    passed: () => passed,
    over: over.promise,
    failure: () =>
      err({ error: passed ?? "aborted", detail: passed === "timeout" ? `after ${timeoutMs} ms` : "" }),
    race: (promise) => Promise.race([promise, over.promise]),
    clear() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    },
  };
}
