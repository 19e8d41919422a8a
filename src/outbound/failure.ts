// Why a request came to nothing, from the error that `fetch` throws, which says little.
//
// Measured in workerd: "Network connection lost." is a refused, reset or cut connection, or an answer that is no HTTP.
// "internal error; reference = …" is a name that does not resolve, a failed TLS handshake, or a certificate that is
// not trusted, expired, or for another name: these cannot be told apart. So https to a name that has just been
// resolved, or that needs no resolving, failed at TLS; what is left is taken for the name. On Cloudflare's edge most
// failures do not throw: the answer has a status from 520 to 530, and is judged like any answer of 5xx.
//
// Under `npm run serve` requests leave through a service that knows better (scripts/outbound.ts). It says so by an
// error of this form, which no receiver can cause: an error is made by the runtime or by a Worker of this process,
// while a header or a status could come from anybody.

export type FetchFailure = "blocked_destination" | "dns_failure" | "tls_error" | "network_error";

const FAILURES: readonly FetchFailure[] = [
  "blocked_destination",
  "dns_failure",
  "tls_error",
  "network_error",
];

/** What the message of an error begins with when it comes from the service of `npm run serve`; a failure follows. */
export const SERVICE_ERROR = "outbound: ";

/** `resolved`: whether the host of `url` has been found to have addresses just before. */
export function classifyError(error: unknown, url: URL, resolved: boolean): FetchFailure {
  const message = error instanceof Error ? error.message : "";
  const told = FAILURES.find((failure) => message === `${SERVICE_ERROR}${failure}`);
  if (told !== undefined) return told;
  if (!message.startsWith("internal error")) return "network_error";
  const named = !resolved && !/^(localhost|\[.*\]|[\d.]+)$/.test(url.hostname);
  return url.protocol === "https:" && !named ? "tls_error" : "dns_failure";
}

/** What the error says, for the log: without URLs, which may hold credentials. */
export function toDetail(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\b[a-z]+:\/\/\S+/gi, "(URL)").slice(0, 200);
}
