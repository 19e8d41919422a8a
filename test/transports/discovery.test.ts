// Cards and the index, over HTTP (§8.2, §8.6). What a card says is tested with operations/card.

import { describe, expect, it } from "vitest";
import { createRecordingApp, ORIGIN } from "./recording-app.ts";

const CARD = "/.well-known/agent-card.json";

async function validators() {
  const app = createRecordingApp();
  const response = await app.fetch(CARD);
  const etag = response.headers.get("etag") ?? "";
  const modified = response.headers.get("last-modified") ?? "";
  return {
    app,
    etag,
    modified,
    conditional: (headers: Record<string, string>) => app.fetch(CARD, { headers }),
  };
}

describe("a card", () => {
  it("is the default agent's at the root and each agent's under its path", async () => {
    const app = createRecordingApp();
    const cards = [
      await app.fetch(CARD),
      await app.fetch(`/echo${CARD}`),
      await app.fetch(`/interview${CARD}`),
    ];
    const [root, echo, interview] = await Promise.all(cards.map((card) => card.json<{ name: string }>()));
    expect(root?.name).toBe(echo?.name);
    expect(interview?.name).not.toBe(echo?.name);
  });

  it("needs no caller", async () => {
    const app = createRecordingApp({
      authenticate: async () => ({ ok: false, error: { reason: "UNAUTHENTICATED", message: "no" } }),
    });
    expect((await app.fetch(CARD)).status).toBe(200);
  });

  it("can be cached, and says by what it varies (§8.6.1)", async () => {
    const response = await createRecordingApp().fetch(CARD);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "application/json",
      "cache-control": "public, max-age=300",
      "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
      vary: "A2A-Version",
    });
    expect(response.headers.get("etag")).toMatch(/^"[0-9a-f]{32}"$/);
  });

  it("keeps its validators from request to request", async () => {
    let time = 1_700_000_000_000;
    const app = createRecordingApp({
      now: () => {
        time += 60_000;
        return time;
      },
    });
    const [first, second] = [await app.fetch(CARD), await app.fetch(CARD)];
    for (const name of ["etag", "last-modified"])
      expect(second.headers.get(name)).toBe(first.headers.get(name));
  });

  it("has another tag for another agent", async () => {
    const { app, etag } = await validators();
    expect((await app.fetch(`/interview${CARD}`)).headers.get("etag")).not.toBe(etag);
  });

  it("answers 304 to a tag that matches: alone, in a list, weak, or any", async () => {
    const { etag, modified, conditional } = await validators();
    for (const tag of [etag, `"other", ${etag}`, `W/${etag}`, `W/"a,b",W/${etag} `, "*", " * "]) {
      const response = await conditional({ "if-none-match": tag });
      expect(response.status).toBe(304);
      expect(await response.text()).toBe("");
      expect(response.headers.get("etag")).toBe(etag);
      expect(response.headers.get("last-modified")).toBe(modified);
      expect(response.headers.get("cache-control")).toBe("public, max-age=300");
      expect(response.headers.get("vary")).toBe("A2A-Version");
    }
  });

  it("answers 200 to a tag that does not match, whatever the date says (RFC 9110 §13.2.2)", async () => {
    const { etag, modified, conditional } = await validators();
    for (const tag of ['"other"', etag.slice(1, -1), `${etag}x`, ""]) {
      expect((await conditional({ "if-none-match": tag, "if-modified-since": modified })).status).toBe(200);
    }
  });

  it("answers 304 to its own date or a later one, 200 to an earlier or none", async () => {
    const { modified, conditional } = await validators();
    expect((await conditional({ "if-modified-since": modified })).status).toBe(304);
    expect((await conditional({ "if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT" })).status).toBe(304);
    expect((await conditional({ "if-modified-since": "Tue, 14 Nov 2023 22:13:19 GMT" })).status).toBe(200);
    expect((await conditional({ "if-modified-since": "yesterday" })).status).toBe(200);
  });

  it("has a tag for each form, and says which one it is", async () => {
    const app = createRecordingApp();
    const tags = new Set<string | null>();
    for (const version of ["1.0", "0.3"]) {
      const response = await app.fetch(CARD, { headers: { "a2a-version": version } });
      expect(response.headers.get("a2a-version")).toBe(version);
      expect(response.headers.get("vary")).toBe("A2A-Version");
      tags.add(response.headers.get("etag"));
    }
    expect(tags.size).toBe(2);
    const old = await app.fetch("/.well-known/agent.json");
    expect(old.headers.get("a2a-version")).toBe("0.3");
    expect(tags).toContain(old.headers.get("etag"));
    const headers = { "if-none-match": old.headers.get("etag") ?? "", "a2a-version": "0.3" };
    expect((await app.fetch(CARD, { headers })).status).toBe(304);
  });

  it.each(["0.2", "2.0", "1", "latest"])("is not served in version %s", async (version) => {
    const response = await createRecordingApp().fetch(CARD, { headers: { "a2a-version": version } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: {
        details: [{ reason: "VERSION_NOT_SUPPORTED", metadata: { supportedVersions: "1.0, 0.3" } }],
      },
    });
  });
});

describe("the index", () => {
  it("lists the agents as JSON", async () => {
    const response = await createRecordingApp().fetch("/");
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(response.headers.get("vary")).toBe("Accept");
    expect(await response.json()).toMatchObject({
      name: "a2a-edge",
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      agents: expect.arrayContaining([
        expect.objectContaining({ name: "echo", url: `${ORIGIN}/echo`, card: `${ORIGIN}/echo${CARD}` }),
      ]),
    });
  });

  it.each([
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"],
    ["application/json, text/html", "application/json"],
    ["*/*", "application/json"],
  ])("answers Accept: %s with %s", async (accept, type) => {
    const response = await createRecordingApp().fetch("/", { headers: { accept } });
    expect(response.headers.get("content-type")).toBe(type);
  });

  it("links the cards in HTML, runs no script, and escapes what it prints", async () => {
    const app = createRecordingApp({ settings: { publicUrl: 'https://x.test/"><script>' } });
    const response = await app.fetch("/", { headers: { accept: "text/html" } });
    const html = await response.text();
    expect(html).toContain(`/echo${CARD}`);
    expect(html).not.toContain("<script>");
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});
