// The validation challenge: what is asked, what counts as an echo, and how often.

import { afterEach, describe, expect, it, vi } from "vitest";
import { Challenge, type ChallengeOptions } from "../../src/delivery/challenge.ts";
import type { OriginState } from "../../src/delivery/endpoint-state.ts";
import { err, ok } from "../../src/lib/result.ts";
import type { OutboundError, OutboundRequest } from "../../src/outbound/fetch.ts";

const DAY = 86_400_000;
const NOW = 1_700_000_000_000;
const url = "https://receiver.example:8443/hook?key=1";

type Reply = { status: number; text: string } | OutboundError["error"];

function setUp(reply: (echo: string) => Reply | Promise<Reply>, members: Partial<ChallengeOptions> = {}) {
  const sent: OutboundRequest[] = [];
  const counted: string[] = [];
  const origin = { state: {} as OriginState };
  const time = { now: NOW };
  const challenge = new Challenge({
    mode: "warn",
    origin: "https://receiver.example:8443",
    outbound: {
      async send(request) {
        sent.push(request);
        const answer = await reply(new URL(request.url).searchParams.get("challenge") ?? "");
        if (typeof answer === "string") return err({ error: answer, durationMs: 1, detail: "" });
        return ok({ ...answer, headers: {}, durationMs: 1 });
      },
    },
    timeoutMs: 15_000,
    state: () => origin.state,
    save: (state) => {
      origin.state = state;
    },
    count: (key) => void counted.push(key),
    now: () => time.now,
    ...members,
  });
  return { challenge, sent, counted, origin, time };
}

const echoing = (echo: string) => ({ status: 200, text: echo });

afterEach(() => void vi.restoreAllMocks());

describe("the question", () => {
  it("is a GET of {url}/validate with a random text, without credentials, the URL's own query kept", async () => {
    const { challenge, sent } = setUp(echoing);
    await challenge.ask(url);
    await challenge.ask(url, true);
    for (const request of sent) {
      expect(request).toMatchObject({ method: "GET", timeoutMs: 15_000 });
      expect(request.url).toMatch(
        /^https:\/\/receiver\.example:8443\/hook\/validate\?key=1&challenge=[0-9a-f]{32}$/,
      );
      expect(Object.keys(request.headers).toSorted()).toEqual(["Accept", "User-Agent"]);
      expect(request.body).toBeUndefined();
    }
    expect(sent[0]?.url).not.toBe(sent[1]?.url);
  });

  it.each([
    ["https://receiver.example:8443", "/validate"],
    ["https://receiver.example:8443/", "/validate"],
    ["https://receiver.example:8443/a/b/", "/a/b/validate"],
  ])("to %s goes to %s", async (text, path) => {
    const { challenge, sent } = setUp(echoing);
    await challenge.ask(text);
    expect(new URL(sent[0]?.url ?? "").pathname).toBe(path);
  });

  it("is put to this origin only", async () => {
    const { challenge, sent } = setUp(echoing);
    for (const text of ["https://receiver.example/hook", "http://receiver.example:8443/", "nonsense"]) {
      expect(await challenge.ask(text)).toEqual({
        ok: false,
        error: { error: "the URL is of another origin" },
      });
    }
    expect(sent).toEqual([]);
  });
});

describe("an answer", () => {
  it.each<[string, (echo: string) => Reply]>([
    ["the text", (echo) => ({ status: 200, text: echo })],
    ["the text with white space around it", (echo) => ({ status: 201, text: ` ${echo}\r\n` })],
    [
      "a JSON object with it",
      (echo) => ({ status: 200, text: JSON.stringify({ challenge: echo, more: 1 }) }),
    ],
  ])("that is %s passes, for 30 days", async (_, reply) => {
    const { challenge, counted, origin } = setUp(reply);
    const validatedUntil = NOW + 30 * DAY;
    expect(await challenge.ask(url)).toEqual({ ok: true, value: { validatedUntil } });
    expect(origin.state).toEqual({ validatedUntil });
    expect(challenge.validatedUntil()).toBe(validatedUntil);
    expect(counted).toEqual(['a2a_webhook_challenges_total{outcome="passed"}']);
  });

  it.each<[string, (echo: string) => Reply]>([
    ["its answer was not the challenge", () => ({ status: 200, text: "" })],
    ["its answer was not the challenge", () => ({ status: 200, text: "ok" })],
    ["its answer was not the challenge", (echo) => ({ status: 200, text: `${echo}!` })],
    ["its answer was not the challenge", (echo) => ({ status: 200, text: JSON.stringify([echo]) })],
    ["its answer was not the challenge", () => ({ status: 200, text: "null" })],
    ["its answer was not the challenge", () => ({ status: 200, text: '{"challenge":{}}' })],
    ["it answered 404", (echo) => ({ status: 404, text: echo })],
    ["it answered 302", (echo) => ({ status: 302, text: echo })],
    ["timeout", () => "timeout"],
    ["blocked_destination", () => "blocked_destination"],
  ])("fails with: %s (%s)", async (error, reply) => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { challenge, counted, origin } = setUp(reply);
    expect(await challenge.ask(url)).toEqual({ ok: false, error: { error } });
    expect(origin.state).toEqual({ challenge: { failedAt: NOW, error } });
    expect(challenge.validatedUntil()).toBeUndefined();
    expect(counted[0]).toBe('a2a_webhook_challenges_total{outcome="failed"}');
    expect(counted.slice(1)).toEqual(
      error === "blocked_destination" ? ['a2a_webhook_blocked_total{reason="blocked_destination"}'] : [],
    );
    expect(warn).toHaveBeenCalledTimes(1);
    expect(String(warn.mock.calls)).not.toContain("key=1");
  });
});

describe("a success", () => {
  it("is remembered, unless a fresh one is wanted, until it runs out", async () => {
    const { challenge, sent, time } = setUp(echoing);
    await challenge.ask(url);
    await challenge.ask(url);
    expect(sent).toHaveLength(1);
    await challenge.ask(url, true);
    expect(sent).toHaveLength(2);
    time.now += 30 * DAY;
    expect(challenge.validatedUntil()).toBeUndefined();
    await challenge.ask(url);
    expect(sent).toHaveLength(3);
  });

  it("forgets an earlier failure", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    let works = false;
    const { challenge, origin } = setUp((echo) => (works ? echoing(echo) : "timeout"));
    origin.state = { pausedAt: 5 };
    await challenge.ask(url);
    works = true;
    await challenge.ask(url, true);
    expect(origin.state).toEqual({ pausedAt: 5, validatedUntil: NOW + 30 * DAY });
  });
});

describe("a failure", () => {
  it("answers for a minute by itself, unless a fresh answer is wanted", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { challenge, sent, time } = setUp(() => "timeout");
    const failed = { ok: false, error: { error: "timeout" } };
    expect(await challenge.ask(url)).toEqual(failed);
    time.now += 59_999;
    expect(await challenge.ask(url)).toEqual(failed);
    expect(sent).toHaveLength(1);
    expect(await challenge.ask(url, true)).toEqual(failed);
    expect(sent).toHaveLength(2);
    time.now += 60_000;
    await challenge.ask(url);
    expect(sent).toHaveLength(3);
  });
});

describe("several who ask at once", () => {
  it("cause one question", async () => {
    const { challenge, sent } = setUp(echoing);
    const answers = await Promise.all([challenge.ask(url), challenge.ask(url), challenge.delivered(url)]);
    expect(sent).toHaveLength(1);
    expect(answers[1]).toEqual(answers[0]);
  });
});

describe("a delivery", () => {
  it.each(["warn", "required"] as const)("asks when the mode is %s and nobody has asked", async (mode) => {
    const { challenge, sent } = setUp(echoing, { mode });
    await challenge.delivered(url);
    await challenge.delivered(url);
    expect(sent).toHaveLength(1);
  });

  it("asks nothing when the mode is off", async () => {
    const { challenge, sent } = setUp(echoing, { mode: "off" });
    await challenge.delivered(url);
    expect(sent).toEqual([]);
  });

  it("leaves an origin that failed alone for a day", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const { challenge, sent, time } = setUp(() => ({ status: 404, text: "" }));
    await challenge.delivered(url);
    time.now += DAY - 1;
    await challenge.delivered(url);
    expect(sent).toHaveLength(1);
    time.now += 1;
    await challenge.delivered(url);
    expect(sent).toHaveLength(2);
  });
});
