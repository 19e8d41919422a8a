// Cards as clients of every year find them: which form a request gets, that a strict kit takes it, and that the SDK's
// clients of 1.0 and of 0.3 choose the right interface from it.

import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} from "@a2a-js/sdk/client";
import { isLegacyAgentCard } from "@a2a-js/sdk/compat/v0_3/client";
import { describe, expect, it } from "vitest";
import { createClient, ORIGIN } from "../support/client.ts";
import { type Serve, serveWith } from "../support/server.ts";
import { strictProblems } from "../support/strict-card.ts";

const CARD = "/.well-known/agent-card.json";
const LEGACY_CARD = "/.well-known/agent.json";
const AGENTS = ["echo", "long-running", "enterprise", "interview", "conformance"];

type Card = Record<string, unknown> & {
  supportedInterfaces: { protocolBinding: string; protocolVersion: string; url: string }[];
};

const settings = [
  ["open", serveWith({})],
  ["closed", serveWith({ authModes: ["api-key"] })],
  ["without capabilities", serveWith({ streaming: false, pushNotifications: false, extendedCard: false })],
  ["with required extensions", serveWith({ requiredExtensions: ["urn:a", "urn:b"] })],
] satisfies [string, Serve][];

async function get(serve: Serve, path: string, headers: Record<string, string> = {}): Promise<Card> {
  const response = await serve(new Request(`${ORIGIN}${path}`, { headers }));
  expect(response.status).toBe(200);
  return response.json();
}

describe.each(settings)("of a server that is %s", (_, serve) => {
  it.each(AGENTS)("the 1.0 card of %s passes a kit that takes no unknown field", async (agent) => {
    const card = await get(serve, `/${agent}${CARD}`, { "a2a-version": "1.0" });
    expect(strictProblems(card)).toEqual([]);
  });

  it.each(AGENTS)("the 0.3 card of %s has what its clients look for", async (agent) => {
    const card = await get(serve, `/${agent}${LEGACY_CARD}`);
    const url = `${ORIGIN}${agent === "echo" ? "" : `/${agent}`}`;
    expect(card).toMatchObject({
      url: `${url}/`,
      protocolVersion: "0.3.0",
      preferredTransport: "JSONRPC",
      additionalInterfaces: [
        { url: `${url}/`, transport: "JSONRPC" },
        { url, transport: "HTTP+JSON" },
      ],
      supportsAuthenticatedExtendedCard: expect.any(Boolean),
    });
    for (const name of ["securityRequirements", "signatures"]) expect(card).not.toHaveProperty(name);
    expect(card.capabilities).not.toHaveProperty("extendedAgentCard");
    expect(card.supportedInterfaces).toEqual((await get(serve, `/${agent}${CARD}`)).supportedInterfaces);
  });
});

it("the strict kit of this file refuses a field of 0.3, wherever it stands", async () => {
  const card = await get(serveWith({}), CARD);
  expect(strictProblems({ ...card, url: ORIGIN })).toEqual(["url is unknown"]);
  const skills = [{ ...(card.skills as object[])[0], security: [] }];
  expect(strictProblems({ ...card, skills })).toEqual(["skills.0.security is unknown"]);
  const { name, ...nameless } = card;
  expect(strictProblems(nameless)).toEqual(["name is missing"]);
});

describe("the interfaces", () => {
  it("of 1.0 come before those of 0.3, at the same addresses", async () => {
    const { supportedInterfaces } = await get(serveWith({}), `/interview${CARD}`);
    const url = `${ORIGIN}/interview`;
    expect(supportedInterfaces).toEqual([
      { url: `${url}/`, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
      { url, protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
      { url: `${url}/`, protocolBinding: "JSONRPC", protocolVersion: "0.3" },
      { url, protocolBinding: "HTTP+JSON", protocolVersion: "0.3" },
    ]);
  });
});

describe("without A2A-Version", () => {
  it.each([
    ["1.0", false],
    ["0.3", true],
  ] as const)(
    "the card has the form that DEFAULT_CARD_VERSION=%s says",
    async (defaultCardVersion, isLegacy) => {
      const serve = serveWith({ defaultCardVersion });
      for (const path of [CARD, `/interview${CARD}`, `${CARD}?A2A-Version=`]) {
        expect("url" in (await get(serve, path))).toBe(isLegacy);
      }
    },
  );

  it("and with it, the card has the form that is asked for, by header or query, patch numbers aside", async () => {
    for (const defaultCardVersion of ["1.0", "0.3"] as const) {
      const serve = serveWith({ defaultCardVersion });
      for (const version of ["1.0", "1.0.1"]) {
        expect(await get(serve, CARD, { "a2a-version": version })).not.toHaveProperty("url");
        expect(await get(serve, `${CARD}?A2A-Version=${version}`)).not.toHaveProperty("url");
      }
      for (const version of ["0.3", "0.3.0"]) {
        expect(await get(serve, CARD, { "a2a-version": version })).toHaveProperty("url");
        expect(await get(serve, `${CARD}?a2a-version=${version}`)).toHaveProperty("url");
      }
      expect(await get(serve, `${CARD}?A2A-Version=0.3`, { "a2a-version": "1.0" })).not.toHaveProperty("url");
    }
  });

  it("agent.json is of 0.3, whatever the setting and whatever is asked for", async () => {
    for (const headers of [{}, { "a2a-version": "1.0" }, { "a2a-version": "9.9" }]) {
      for (const path of [LEGACY_CARD, `/interview${LEGACY_CARD}`]) {
        expect(await get(serveWith({ defaultCardVersion: "1.0" }), path, headers)).toHaveProperty("url");
      }
    }
  });
});

describe("the official client", () => {
  const resolve = (serve: Serve, path: string) => {
    const fetchImpl = ((input, init) => serve(new Request(input, init))) as typeof fetch;
    const legacyCompat = { enabled: true };
    const factory = new ClientFactory({
      transports: [
        new JsonRpcTransportFactory({ fetchImpl, legacyCompat }),
        new RestTransportFactory({ fetchImpl, legacyCompat }),
      ],
      cardResolver: new DefaultAgentCardResolver({ fetchImpl, legacyCompat }),
    });
    return factory.createFromUrl(ORIGIN, path);
  };

  it("of 1.0 speaks 1.0 from either card, also when it could speak 0.3", async () => {
    for (const authModes of [["open"], ["api-key"]] as const) {
      const serve = serveWith({ defaultCardVersion: "0.3", authModes: [...authModes] });
      for (const path of [CARD, LEGACY_CARD, `/interview${CARD}`]) {
        const client = await resolve(serve, path);
        expect(client.protocolVersion).toBe("1.0");
      }
    }
  });

  it("of 0.3 finds its own interfaces where those of 1.0 are unknown to it", async () => {
    const { supportedInterfaces, ...card } = await get(serveWith({ authModes: ["api-key"] }), LEGACY_CARD);
    expect(isLegacyAgentCard(card)).toBe(true);
    const legacyCompat = { enabled: true };
    for (const [preferred, Factory] of [
      ["JSONRPC", JsonRpcTransportFactory],
      ["HTTP+JSON", RestTransportFactory],
    ] as const) {
      const seen: string[] = [];
      const fetchImpl = (async (input, init) => {
        seen.push(new Request(input, init).url);
        return new Response("{}");
      }) as typeof fetch;
      const factory = new ClientFactory({
        transports: [new Factory({ fetchImpl, legacyCompat })],
        cardResolver: new DefaultAgentCardResolver({ fetchImpl, legacyCompat }),
      });
      const client = await factory.createFromAgentCard(card as never);
      expect(client.transport.protocolName).toBe(preferred);
      expect(client.protocolVersion).toBe("0.3");
      await client.getTask({ tenant: "", id: "t" }).catch(() => {});
      expect(seen).toEqual([preferred === "JSONRPC" ? `${ORIGIN}/` : `${ORIGIN}/v1/tasks/t`]);
    }
  });
});

it("a card that is public needs no caller in any form", async () => {
  const client = createClient({ fetch: serveWith({ authModes: ["api-key"] }) });
  for (const path of [CARD, LEGACY_CARD]) expect((await client.request(path)).status).toBe(200);
});
