// The agent card as 0.3 knows it: one url where 1.0 has a list, security as OpenAPI 3.0 writes it, and the version of
// the protocol on the card itself. Signatures stay behind: they are of the 1.0 form, and of no other.
//
// It keeps `supportedInterfaces`, as the SDK's own 0.3 cards do: a client of 0.3 does not look at it, and one that
// speaks both finds the newer dialect there.

import type { AgentCapabilities, AgentCard, AgentInterface, AgentSkill } from "../agent-card.ts";
import type { OAuthFlows, SecurityRequirement, SecurityScheme } from "../security.ts";

type LegacyInterface = { url: string; transport: string };
type LegacySecurity = Record<string, string[]>;

/** Of OpenAPI 3.0, with the `oauth2MetadataUrl` and `mutualTLS` that A2A adds. */
export type LegacySecurityScheme = { description?: string } & (
  | { type: "apiKey"; in: string; name: string }
  | { type: "http"; scheme: string; bearerFormat?: string }
  | { type: "oauth2"; flows: Partial<OAuthFlows>; oauth2MetadataUrl?: string }
  | { type: "openIdConnect"; openIdConnectUrl: string }
  | { type: "mutualTLS" }
);

type Common = Omit<
  AgentCard,
  "capabilities" | "securitySchemes" | "securityRequirements" | "skills" | "signatures"
> & {
  protocolVersion: "0.3.0";
  url: string;
  preferredTransport: string;
  additionalInterfaces: LegacyInterface[];
  capabilities: Omit<AgentCapabilities, "extendedAgentCard">;
  supportsAuthenticatedExtendedCard: boolean;
};

type LegacySkill<S> = Omit<AgentSkill, "securityRequirements"> & { security?: S[] };

/** As JSON-RPC and `/.well-known` serve it: the JSON Schema of 0.3. */
export type LegacyAgentCard = Common & {
  securitySchemes?: Record<string, LegacySecurityScheme>;
  security?: LegacySecurity[];
  skills: LegacySkill<LegacySecurity>[];
};

/** As HTTP+JSON serves it at `/v1/card`: the proto of 0.3, whose security is that of 1.0 under another name. */
export type LegacyProtoAgentCard = Common & {
  securitySchemes?: Record<string, SecurityScheme>;
  security?: SecurityRequirement[];
  skills: LegacySkill<SecurityRequirement>[];
};

/** The card of an agent that serves 0.3; throws if none of its interfaces does. */
export function toLegacyAgentCard(card: AgentCard): LegacyAgentCard {
  const { securitySchemes, securityRequirements } = card;
  return {
    ...toCommon(card),
    ...(securitySchemes && {
      securitySchemes: Object.fromEntries(
        Object.entries(securitySchemes).map(([name, scheme]) => [name, toLegacySecurityScheme(scheme)]),
      ),
    }),
    ...(securityRequirements && { security: securityRequirements.map(toLegacySecurity) }),
    skills: card.skills.map(({ securityRequirements: needed, ...skill }) => {
      return { ...skill, ...(needed && { security: needed.map(toLegacySecurity) }) };
    }),
  };
}

export function toLegacyProtoAgentCard(card: AgentCard): LegacyProtoAgentCard {
  const { securitySchemes, securityRequirements } = card;
  return {
    ...toCommon(card),
    ...(securitySchemes && { securitySchemes }),
    ...(securityRequirements && { security: securityRequirements }),
    skills: card.skills.map(({ securityRequirements: needed, ...skill }) => {
      return { ...skill, ...(needed && { security: needed }) };
    }),
  };
}

function toCommon(card: AgentCard): Common {
  const { capabilities, securitySchemes, securityRequirements, skills, signatures, ...rest } = card;
  const { extendedAgentCard = false, ...others } = capabilities;
  const interfaces = card.supportedInterfaces.filter(isLegacy);
  const [main] = interfaces;
  if (main === undefined) throw new Error("this card has no interface of 0.3");
  return {
    ...rest,
    protocolVersion: "0.3.0",
    url: main.url,
    preferredTransport: main.protocolBinding,
    // With the main one again, as the comment on the field in 0.3 asks for.
    additionalInterfaces: interfaces.map(({ url, protocolBinding }) => ({ url, transport: protocolBinding })),
    capabilities: others,
    supportsAuthenticatedExtendedCard: extendedAgentCard,
  };
}

function isLegacy({ protocolVersion }: AgentInterface): boolean {
  return /^0\.3(\.|$)/.test(protocolVersion);
}

function toLegacySecurity({ schemes = {} }: SecurityRequirement): LegacySecurity {
  return Object.fromEntries(Object.entries(schemes).map(([name, { list = [] }]) => [name, list]));
}

export function toLegacySecurityScheme(scheme: SecurityScheme): LegacySecurityScheme {
  if (scheme.apiKeySecurityScheme) {
    const { location, ...rest } = scheme.apiKeySecurityScheme;
    return { type: "apiKey", in: location, ...rest };
  }
  if (scheme.httpAuthSecurityScheme) return { type: "http", ...scheme.httpAuthSecurityScheme };
  if (scheme.oauth2SecurityScheme) {
    const { flows, ...rest } = scheme.oauth2SecurityScheme;
    // OpenAPI 3.0 does not have the device code flow.
    const { deviceCode, ...known } = flows;
    return { type: "oauth2", flows: known, ...rest };
  }
  if (scheme.openIdConnectSecurityScheme) {
    return { type: "openIdConnect", ...scheme.openIdConnectSecurityScheme };
  }
  return { type: "mutualTLS", ...scheme.mtlsSecurityScheme };
}
