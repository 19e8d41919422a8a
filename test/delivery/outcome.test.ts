// What an answer, or the lack of one, means; and what Retry-After says.

import { describe, expect, it } from "vitest";
import {
  classify,
  type ErrorClass,
  type Outcome,
  parseRetryAfter,
  released,
} from "../../src/delivery/outcome.ts";
import { err, ok } from "../../src/lib/result.ts";
import { aClaim } from "./claims.ts";

describe("the outcome of an answer", () => {
  const expected: Record<Outcome, number[]> = {
    delivered: [200, 201, 202, 204, 206, 299],
    retry: [408, 425, 429, 500, 502, 503, 504, 507, 520, 530, 599],
    rejected: [100, 199, 300, 301, 302, 303, 304, 307, 308, 400, 402, 404, 405, 409, 413, 415, 422, 451, 499],
    unauthorized: [401, 403],
    gone: [410],
    blocked: [],
  };
  for (const [outcome, statuses] of Object.entries(expected)) {
    it.each(statuses)(`of %i is ${outcome}`, (status) => {
      expect(classify(ok({ status }))).toBe(outcome);
    });
  }
});

describe("the outcome without an answer", () => {
  const expected: Record<ErrorClass, Outcome> = {
    blocked_destination: "blocked",
    tls_error: "blocked",
    dns_failure: "retry",
    timeout: "retry",
    network_error: "retry",
    oauth2_failed: "retry",
    secrets_unreadable: "retry",
  };
  it.each(Object.entries(expected))("for %s is %s", (error, outcome) => {
    expect(classify(err({ error: error as ErrorClass }))).toBe(outcome);
  });
});

describe("a claim that was released", () => {
  it("is settled as never sent", () => {
    const claim = aClaim({ key: "k", attempt: 3 });
    const settlement = {
      key: "k",
      id: claim.id,
      attempt: 3,
      outcome: "released",
      startedAt: 0,
      durationMs: 0,
    };
    expect(released(claim)).toEqual(settlement);
  });
});

describe("Retry-After (RFC 9110 §10.2.3)", () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 7);
  it.each([
    ["0", 0],
    ["1", 1_000],
    [" 120 ", 120_000],
    ["86400", 86_400_000],
    ["86401", 86_400_000],
    ["99999999999999999999", 86_400_000],
    // The three forms of §5.6.7, half a minute ahead.
    ["Sun, 06 Nov 1994 08:49:37 GMT", 30_000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 30_000],
    ["Sun Nov  6 08:49:37 1994", 30_000],
    ["Sun Nov 16 08:49:07 1994", 86_400_000],
    ["Fri, 31 Dec 9999 23:59:59 GMT", 86_400_000],
    ["Sun, 06 Nov 1994 08:49:06 GMT", 0],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
  ])("%j is %i ms from now", (value, ms) => {
    expect(parseRetryAfter(value, now)).toBe(ms);
  });

  it.each([
    undefined,
    "",
    " ",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "0x10",
    "soon",
    "120 seconds",
    "120, 240",
    "1994-11-06T08:49:37Z",
    "Sun, 06 Nov 1994 08:49:37 +0100",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 25:61:61 GMT",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "NaN",
    "Infinity",
    "٣",
  ])("%j says nothing", (value) => {
    expect(parseRetryAfter(value, now)).toBeUndefined();
  });
});
