// What a card says of security, as a function of what is accepted (§4.5).

import { describe, expect, it } from "vitest";
import { type Accepted, cardSecurity } from "../../src/operations/card-security.ts";
import { AgentCard } from "../../src/protocol/agent-card.ts";
import { parseParams } from "../../src/protocol/parse.ts";

const discovered = { issuer: "https://id.test/", jwksUrl: undefined };
const keysOnly = { issuer: "https://keys.test", jwksUrl: "https://keys.test/jwks" };

const session = {
  apiKeySecurityScheme: {
    location: "query",
    name: "session",
    description:
      "A session, which POST /a2a/auth makes of another credential: for GET requests of clients that cannot set headers.",
  },
};

function security(authModes: Accepted["authModes"], ...jwtIssuers: Accepted["jwtIssuers"]) {
  const { securitySchemes = {}, securityRequirements = [] } = cardSecurity({ authModes, jwtIssuers });
  return { schemes: securitySchemes, alternatives: securityRequirements.map(({ schemes }) => schemes) };
}

describe("the security of a card", () => {
  it("is none where everybody is let in", () => {
    expect(cardSecurity({ authModes: ["open"], jwtIssuers: [discovered] })).toEqual({});
  });

  it("of API keys is a bearer token or a header", () => {
    const { schemes, alternatives } = security(["api-key"], discovered);
    expect(schemes).toEqual({
      bearer: { httpAuthSecurityScheme: { scheme: "Bearer", description: "An API key of this server." } },
      apiKey: {
        apiKeySecurityScheme: {
          location: "header",
          name: "X-API-Key",
          description: "An API key of this server.",
        },
      },
      session,
    });
    expect(alternatives.map((one) => Object.keys(one ?? {}))).toEqual([["bearer"], ["apiKey"], ["session"]]);
  });

  it.each([["api-key"], ["jwt"]] as const)("of %s is a session, too, which reads", (mode) => {
    const { schemes, alternatives } = security([mode], discovered);
    expect(schemes).toMatchObject({ session });
    expect(alternatives.at(-1)).toEqual({ session: { list: ["task:read"] } });
  });

  it("of tokens is OpenID Connect where there is discovery, else a bearer JWT", () => {
    const { schemes, alternatives } = security(["jwt"], discovered, keysOnly);
    expect(schemes).toMatchObject({
      oidc: {
        openIdConnectSecurityScheme: { openIdConnectUrl: "https://id.test/.well-known/openid-configuration" },
      },
      jwt2: { httpAuthSecurityScheme: { scheme: "Bearer", bearerFormat: "JWT" } },
    });
    expect(alternatives[0]).toEqual({ oidc: { list: ["openid"] } });
    expect(Object.keys(schemes)).toEqual(["oidc", "jwt2", "session"]);
  });

  it("names every alternative by itself, each with a scheme, and none with an empty list", () => {
    const { schemes, alternatives } = security(["api-key", "jwt"], keysOnly, discovered, discovered);
    expect(Object.keys(schemes)).toEqual(["bearer", "apiKey", "jwt", "oidc2", "oidc3", "session"]);
    expect(alternatives.flatMap((one) => Object.keys(one ?? {}))).toEqual(Object.keys(schemes));
    for (const one of alternatives)
      for (const { list } of Object.values(one ?? {})) expect(list).not.toHaveLength(0);
  });

  it("is read back as it was written", () => {
    const wire = cardSecurity({ authModes: ["api-key", "jwt"], jwtIssuers: [discovered, keysOnly] });
    const minimal = {
      name: "n",
      description: "d",
      version: "1",
      supportedInterfaces: [{ url: "https://a.test", protocolBinding: "JSONRPC", protocolVersion: "1.0" }],
      capabilities: {},
      defaultInputModes: ["text/plain"],
      defaultOutputModes: ["text/plain"],
      skills: [{ id: "s", name: "s", description: "s", tags: ["t"] }],
    };
    expect(parseParams(AgentCard, { ...minimal, ...wire })).toEqual({
      ok: true,
      value: { ...minimal, ...wire },
    });
  });
});
