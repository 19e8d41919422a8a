// How a client authenticates, as a card declares it (§4.5), after OpenAPI 3.2's security scheme object.

import type * as z from "zod/mini";
import { bool, string } from "./scalars.ts";
import { map, message, repeated, required, requiredOrDefault } from "./schema.ts";

export const StringList = message("StringList", { list: repeated(string) });
export type StringList = z.infer<typeof StringList>;

export const SecurityRequirement = message("SecurityRequirement", { schemes: map(StringList) });
export type SecurityRequirement = z.infer<typeof SecurityRequirement>;

export const APIKeySecurityScheme = message("APIKeySecurityScheme", {
  description: string,
  location: required(string),
  name: required(string),
});
export type APIKeySecurityScheme = z.infer<typeof APIKeySecurityScheme>;

export const HTTPAuthSecurityScheme = message("HTTPAuthSecurityScheme", {
  description: string,
  scheme: required(string),
  bearerFormat: string,
});
export type HTTPAuthSecurityScheme = z.infer<typeof HTTPAuthSecurityScheme>;

// An empty map of scopes is legal in OpenAPI, and ProtoJSON does not write it.
export const AuthorizationCodeOAuthFlow = message("AuthorizationCodeOAuthFlow", {
  authorizationUrl: required(string),
  tokenUrl: required(string),
  refreshUrl: string,
  scopes: requiredOrDefault(map(string)),
  pkceRequired: bool,
});
export type AuthorizationCodeOAuthFlow = z.infer<typeof AuthorizationCodeOAuthFlow>;

export const ClientCredentialsOAuthFlow = message("ClientCredentialsOAuthFlow", {
  tokenUrl: required(string),
  refreshUrl: string,
  scopes: requiredOrDefault(map(string)),
});
export type ClientCredentialsOAuthFlow = z.infer<typeof ClientCredentialsOAuthFlow>;

export const DeviceCodeOAuthFlow = message("DeviceCodeOAuthFlow", {
  deviceAuthorizationUrl: required(string),
  tokenUrl: required(string),
  refreshUrl: string,
  scopes: requiredOrDefault(map(string)),
});
export type DeviceCodeOAuthFlow = z.infer<typeof DeviceCodeOAuthFlow>;

/** Deprecated by the specification; read, never offered. */
export const ImplicitOAuthFlow = message("ImplicitOAuthFlow", {
  authorizationUrl: string,
  refreshUrl: string,
  scopes: map(string),
});
export type ImplicitOAuthFlow = z.infer<typeof ImplicitOAuthFlow>;

/** Deprecated by the specification; read, never offered. */
export const PasswordOAuthFlow = message("PasswordOAuthFlow", {
  tokenUrl: string,
  refreshUrl: string,
  scopes: map(string),
});
export type PasswordOAuthFlow = z.infer<typeof PasswordOAuthFlow>;

export const OAuthFlows = message(
  "OAuthFlows",
  {},
  {
    authorizationCode: AuthorizationCodeOAuthFlow,
    clientCredentials: ClientCredentialsOAuthFlow,
    implicit: ImplicitOAuthFlow,
    password: PasswordOAuthFlow,
    deviceCode: DeviceCodeOAuthFlow,
  },
);
export type OAuthFlows = z.infer<typeof OAuthFlows>;

export const OAuth2SecurityScheme = message("OAuth2SecurityScheme", {
  description: string,
  flows: required(OAuthFlows),
  oauth2MetadataUrl: string,
});
export type OAuth2SecurityScheme = z.infer<typeof OAuth2SecurityScheme>;

export const OpenIdConnectSecurityScheme = message("OpenIdConnectSecurityScheme", {
  description: string,
  openIdConnectUrl: required(string),
});
export type OpenIdConnectSecurityScheme = z.infer<typeof OpenIdConnectSecurityScheme>;

export const MutualTlsSecurityScheme = message("MutualTlsSecurityScheme", { description: string });
export type MutualTlsSecurityScheme = z.infer<typeof MutualTlsSecurityScheme>;

export const SecurityScheme = message(
  "SecurityScheme",
  {},
  {
    apiKeySecurityScheme: APIKeySecurityScheme,
    httpAuthSecurityScheme: HTTPAuthSecurityScheme,
    oauth2SecurityScheme: OAuth2SecurityScheme,
    openIdConnectSecurityScheme: OpenIdConnectSecurityScheme,
    mtlsSecurityScheme: MutualTlsSecurityScheme,
  },
);
export type SecurityScheme = z.infer<typeof SecurityScheme>;
