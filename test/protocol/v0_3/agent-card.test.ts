// Cards of 0.3, judged by the official SDK: what its server makes of a 1.0 card, and what its client reads in ours.

import { AgentCard as SdkCard } from "@a2a-js/sdk";
import { isLegacyAgentCard, parseLegacyAgentCard } from "@a2a-js/sdk/compat/v0_3/client";
import { LegacyJsonRpcTransportHandler } from "@a2a-js/sdk/compat/v0_3/server";
import { describe, expect, it } from "vitest";
import type { AgentCard } from "../../../src/protocol/agent-card.ts";
import { toLegacyAgentCard, toLegacyProtoAgentCard } from "../../../src/protocol/v0_3/agent-card.ts";

const scopes = { read: "Reads" };

const card = {
  name: "Everything",
  description: "An agent whose card has all there is.",
  version: "1.2.3",
  provider: { url: "https://example.com", organization: "Example" },
  documentationUrl: "https://example.com/docs",
  iconUrl: "https://example.com/icon.png",
  supportedInterfaces: [
    { url: "https://a.test/", protocolBinding: "JSONRPC", protocolVersion: "1.0" },
    { url: "https://a.test", protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
    { url: "https://a.test/", protocolBinding: "JSONRPC", protocolVersion: "0.3" },
    { url: "https://a.test", protocolBinding: "HTTP+JSON", protocolVersion: "0.3" },
  ],
  capabilities: {
    streaming: true,
    pushNotifications: false,
    extendedAgentCard: true,
    extensions: [{ uri: "urn:a", description: "An extension", required: true, params: { a: [1] } }],
  },
  securitySchemes: {
    key: { apiKeySecurityScheme: { location: "header", name: "X-API-Key", description: "A key" } },
    bearer: { httpAuthSecurityScheme: { scheme: "Bearer", bearerFormat: "JWT" } },
    oidc: {
      openIdConnectSecurityScheme: { openIdConnectUrl: "https://id.test/.well-known/openid-configuration" },
    },
    mtls: { mtlsSecurityScheme: { description: "A certificate" } },
    oauth2: {
      oauth2SecurityScheme: {
        flows: { clientCredentials: { tokenUrl: "https://id.test/token", scopes } },
        oauth2MetadataUrl: "https://id.test/.well-known/oauth-authorization-server",
      },
    },
  },
  securityRequirements: [
    { schemes: { key: { list: ["task:read"] }, mtls: {} } },
    { schemes: { oauth2: { list: ["read"] } } },
  ],
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain", "application/json"],
  skills: [
    {
      id: "s",
      name: "Skill",
      description: "Does it.",
      tags: ["t"],
      examples: ["Do it"],
      inputModes: ["text/plain"],
      outputModes: ["text/plain"],
      securityRequirements: [{ schemes: { oauth2: { list: ["read"] } } }],
    },
    { id: "p", name: "Plain", description: "Does less.", tags: ["t"] },
  ],
  signatures: [{ protected: "e30", signature: "AA" }],
} satisfies AgentCard;

/** As the SDK's server answers it to a client of 0.3. */
async function sdkLegacyCard(core: AgentCard): Promise<Record<string, unknown>> {
  const getAuthenticatedExtendedAgentCard = async () => SdkCard.fromJSON(core);
  const server = new LegacyJsonRpcTransportHandler({ getAuthenticatedExtendedAgentCard } as never);
  const method = "agent/getAuthenticatedExtendedCard";
  const answer = await server.handle({ jsonrpc: "2.0", id: 1, method } as never, {} as never);
  return JSON.parse(JSON.stringify((answer as { result: object }).result)) as Record<string, unknown>;
}

const onJson = (value: unknown) => JSON.parse(JSON.stringify(value)) as Record<string, unknown>;

describe("a card of 0.3", () => {
  it("is the SDK's own, but for patch number, the main interface in the list, and the signature", async () => {
    const { signatures, ...theirs } = await sdkLegacyCard(card);
    expect(signatures).toHaveLength(1);
    const { supportedInterfaces, ...ours } = onJson(toLegacyAgentCard(card));
    expect(supportedInterfaces).toEqual(card.supportedInterfaces);
    expect(ours).toEqual({
      ...theirs,
      protocolVersion: "0.3.0",
      additionalInterfaces: [
        { url: "https://a.test/", transport: "JSONRPC" },
        { url: "https://a.test", transport: "HTTP+JSON" },
      ],
    });
  });

  it("is read by the SDK's client as the card it was made of, where nothing newer is beside it", () => {
    const { supportedInterfaces, ...legacy } = onJson(toLegacyAgentCard(card));
    expect(isLegacyAgentCard(legacy)).toBe(true);
    const { supportedInterfaces: read, ...rest } = onJson(SdkCard.toJSON(parseLegacyAgentCard(legacy)));
    const { supportedInterfaces: _, signatures, ...expected } = card;
    expect(rest).toEqual({
      ...expected,
      securityRequirements: [
        { schemes: { key: { list: ["task:read"] }, mtls: {} } },
        { schemes: { oauth2: { list: ["read"] } } },
      ],
    });
    for (const one of read as { protocolVersion: string }[]) expect(one.protocolVersion).toMatch(/^0\.3/);
  });

  it("leaves the device code flow behind, which OpenAPI 3.0 does not have", () => {
    const deviceCode = { deviceAuthorizationUrl: "https://id.test/d", tokenUrl: "https://id.test/t", scopes };
    const oauth2 = { oauth2SecurityScheme: { flows: { deviceCode } } };
    expect(toLegacyAgentCard({ ...card, securitySchemes: { oauth2 } }).securitySchemes).toEqual({
      oauth2: { type: "oauth2", flows: {} },
    });
  });

  it("says no more of security than the card does", () => {
    const { securitySchemes, securityRequirements, ...bare } = card;
    for (const legacy of [toLegacyAgentCard(bare), toLegacyProtoAgentCard(bare)]) {
      expect(legacy).not.toHaveProperty("securitySchemes");
      expect(legacy).not.toHaveProperty("security");
      expect(legacy.skills[1]).toEqual(card.skills[1]);
    }
  });

  it("over HTTP+JSON has the security of its proto", () => {
    const { securitySchemes, security, skills, ...common } = toLegacyProtoAgentCard(card);
    const { securitySchemes: _, security: __, skills: ___, ...expected } = toLegacyAgentCard(card);
    expect(common).toEqual(expected);
    expect(securitySchemes).toEqual(card.securitySchemes);
    expect(security).toEqual(card.securityRequirements);
    expect(skills[0]).toMatchObject({ security: [{ schemes: { oauth2: { list: ["read"] } } }] });
    expect(skills[0]).not.toHaveProperty("securityRequirements");
  });

  it("cannot be made of an agent that does not serve 0.3", () => {
    const supportedInterfaces = card.supportedInterfaces.slice(0, 2);
    expect(() => toLegacyAgentCard({ ...card, supportedInterfaces })).toThrow(/no interface of 0.3/);
  });
});
