// How a client may say who it is, as a card declares it (§4.5): a function of what the deployment accepts, so that
// neither can say what the other does not.
//
// No list of scopes is empty. ProtoJSON drops an empty list, what is left is an empty object, and the SDKs drop that
// too before they verify a signature: the requirement would be in the card and in no signature.

import type { Config } from "../config.ts";
import type { AgentCard } from "../protocol/agent-card.ts";
import type { SecurityScheme } from "../protocol/security.ts";

export type Accepted = {
  authModes: Config["authModes"];
  jwtIssuers: readonly Pick<Config["jwtIssuers"][number], "issuer" | "jwksUrl">[];
};

type Declared = { name: string; scheme: SecurityScheme; scopes: string[] };

/** With which a caller can do what a card offers. */
const SCOPES = ["task:read", "task:write"];

/** The schemes of a card, each an alternative to the others; none where everybody is let in. */
export function cardSecurity(
  accepted: Accepted,
): Pick<AgentCard, "securitySchemes" | "securityRequirements"> {
  const credentials = [...apiKeys(accepted), ...tokens(accepted)];
  if (credentials.length === 0) return {};
  const declared = [...credentials, session];
  return {
    securitySchemes: Object.fromEntries(declared.map(({ name, scheme }) => [name, scheme])),
    securityRequirements: declared.map(({ name, scopes }) => ({ schemes: { [name]: { list: scopes } } })),
  };
}

/** In a header a session is a bearer token like others; what it is for is the query, where it only reads. */
const session: Declared = {
  name: "session",
  scheme: {
    apiKeySecurityScheme: {
      location: "query",
      name: "session",
      description:
        "A session, which POST /a2a/auth makes of another credential: for GET requests of clients that cannot set headers.",
    },
  },
  scopes: ["task:read"],
};

function apiKeys({ authModes }: Accepted): Declared[] {
  if (!authModes.includes("api-key")) return [];
  const description = "An API key of this server.";
  return [
    { name: "bearer", scheme: { httpAuthSecurityScheme: { scheme: "Bearer", description } }, scopes: SCOPES },
    {
      name: "apiKey",
      scheme: { apiKeySecurityScheme: { location: "header", name: "X-API-Key", description } },
      scopes: SCOPES,
    },
  ];
}

/** A scheme for each issuer, without what only its own clients need to know, such as the audience. */
function tokens({ authModes, jwtIssuers }: Accepted): Declared[] {
  if (!authModes.includes("jwt")) return [];
  return jwtIssuers.map(({ issuer, jwksUrl }, index) => {
    const number = index === 0 ? "" : String(index + 1);
    const description = `An access token of ${issuer}.`;
    // Where the address of its keys is configured, it may have no metadata that a client could discover.
    if (jwksUrl !== undefined) {
      const scheme = { httpAuthSecurityScheme: { scheme: "Bearer", bearerFormat: "JWT", description } };
      return { name: `jwt${number}`, scheme, scopes: SCOPES };
    }
    const openIdConnectUrl = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const scheme = { openIdConnectSecurityScheme: { openIdConnectUrl, description } };
    // The one scope that every OpenID provider has; what a token allows here is in its claims.
    return { name: `oidc${number}`, scheme, scopes: ["openid"] };
  });
}
