// Agent cards (§4.4.1), built from what an agent's author wrote and what this deployment can do, and
// GetExtendedAgentCard (§3.1.11).

import type { Agent } from "../agents/agent.ts";
import { hasScope } from "../auth/authorize.ts";
import type { Config } from "../config.ts";
import { toJsonBytes } from "../lib/bytes.ts";
import type { AgentCard } from "../protocol/agent-card.ts";
import { A2AError } from "../protocol/errors.ts";
import { servedVersions } from "../protocol/version.ts";
import { cardExtensions } from "./card-extensions.ts";
import { cardSecurity } from "./card-security.ts";
import type { Answer, Call, Deps } from "./index.ts";

/** The public card. The default agent's interfaces are the root, every other's its own path. */
export function agentCard(agent: Agent, config: Config, baseUrl: string): AgentCard {
  const url = agent.name === config.defaultAgent ? baseUrl : `${baseUrl}/${agent.name}`;
  const extensions = cardExtensions(agent, config, baseUrl);
  const versions: readonly string[] = servedVersions(config);
  const served = (interfaces: AgentCard["supportedInterfaces"]) =>
    interfaces.filter(({ protocolVersion }) => versions.includes(protocolVersion));
  return {
    name: agent.title,
    description: agent.description,
    version: agent.version,
    supportedInterfaces: served([
      { url: `${url}/`, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
      { url, protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
      { url: `${url}/`, protocolBinding: "JSONRPC", protocolVersion: "0.3" },
      // Its clients put /v1 behind it themselves.
      { url, protocolBinding: "HTTP+JSON", protocolVersion: "0.3" },
    ]),
    capabilities: {
      streaming: config.streaming,
      pushNotifications: config.pushNotifications,
      extendedAgentCard: hasExtendedCard(agent, config),
      ...(extensions.length > 0 && { extensions }),
    },
    ...cardSecurity(config),
    defaultInputModes: [...agent.inputModes],
    defaultOutputModes: [...agent.outputModes],
    skills: [...agent.skills],
  };
}

function hasExtendedCard(agent: Agent, config: Config): boolean {
  return config.extendedCard && agent.extendedSkills.length > 0;
}

/**
 * The card with the skills that only callers who said who they are may see, and of those with a scope only who has it.
 * Everybody is a caller by now, or was answered UNAUTHENTICATED (§3.1.11).
 */
export async function getExtendedAgentCard(deps: Deps, { agent, baseUrl, caller }: Call): Promise<Answer> {
  // Its card says so (§3.3.4). EXTENDED_AGENT_CARD_NOT_CONFIGURED would be for a card that promises one in vain.
  if (!hasExtendedCard(agent, deps.config)) {
    throw new A2AError("UNSUPPORTED_OPERATION", { message: "This agent has no extended card." });
  }
  const card = agentCard(agent, deps.config, baseUrl);
  const more = agent.extendedSkills.flatMap(({ scope, ...skill }) =>
    scope === undefined || hasScope(caller, scope) ? [skill] : [],
  );
  const extended = { ...card, skills: [...agent.skills, ...more] };
  return { kind: "value", json: toJsonBytes(await deps.signCard(extended, baseUrl)) };
}
