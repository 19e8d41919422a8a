// The agent card, an agent's self-description (§4.4). It holds no field of an older dialect: conformance
// kits validate it with additionalProperties: false.

import type * as z from "zod/mini";
import { bool, string } from "./scalars.ts";
import { map, message, optional, repeated, required } from "./schema.ts";
import { SecurityRequirement, SecurityScheme } from "./security.ts";
import { Struct } from "./struct.ts";

export const AgentInterface = message("AgentInterface", {
  url: required(string),
  protocolBinding: required(string),
  tenant: string,
  protocolVersion: required(string),
});
export type AgentInterface = z.infer<typeof AgentInterface>;

export const AgentProvider = message("AgentProvider", {
  url: required(string),
  organization: required(string),
});
export type AgentProvider = z.infer<typeof AgentProvider>;

export const AgentExtension = message("AgentExtension", {
  uri: string,
  description: string,
  required: bool,
  params: Struct,
});
export type AgentExtension = z.infer<typeof AgentExtension>;

export const AgentCapabilities = message("AgentCapabilities", {
  streaming: optional(bool),
  pushNotifications: optional(bool),
  extensions: repeated(AgentExtension),
  extendedAgentCard: optional(bool),
});
export type AgentCapabilities = z.infer<typeof AgentCapabilities>;

export const AgentSkill = message("AgentSkill", {
  id: required(string),
  name: required(string),
  description: required(string),
  tags: required(repeated(string)),
  examples: repeated(string),
  inputModes: repeated(string),
  outputModes: repeated(string),
  securityRequirements: repeated(SecurityRequirement),
});
export type AgentSkill = z.infer<typeof AgentSkill>;

export const AgentCardSignature = message("AgentCardSignature", {
  protected: required(string),
  signature: required(string),
  header: Struct,
});
export type AgentCardSignature = z.infer<typeof AgentCardSignature>;

export const AgentCard = message("AgentCard", {
  name: required(string),
  description: required(string),
  supportedInterfaces: required(repeated(AgentInterface)),
  provider: AgentProvider,
  version: required(string),
  documentationUrl: optional(string),
  capabilities: required(AgentCapabilities),
  securitySchemes: map(SecurityScheme),
  securityRequirements: repeated(SecurityRequirement),
  defaultInputModes: required(repeated(string)),
  defaultOutputModes: required(repeated(string)),
  skills: required(repeated(AgentSkill)),
  signatures: repeated(AgentCardSignature),
  iconUrl: optional(string),
});
export type AgentCard = z.infer<typeof AgentCard>;
