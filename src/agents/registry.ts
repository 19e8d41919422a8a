// The agents this deployment serves. To add one, import it and put it into the list.

import type { Config } from "../config.ts";
import { err, ok, type Result } from "../lib/result.ts";
import type { Agent } from "./agent.ts";
import { conformance } from "./conformance.ts";
import { echo } from "./echo.ts";
import { enterprise } from "./enterprise.ts";
import { interview } from "./interview.ts";
import { longRunning } from "./long-running.ts";

const agents: readonly Agent[] = [echo, longRunning, enterprise, interview, conformance];

export type Registry = {
  /** The agent that answers at the root. */
  default: Agent;
  get(name: string): Agent | undefined;
  list(): readonly Agent[];
};

/** The agents that may run under this configuration; an error if the default one is not among them. */
export function createRegistry(
  config: Pick<Config, "environment" | "defaultAgent">,
): Result<Registry, string> {
  const served = agents.filter((agent) => config.environment === "development" || !agent.developmentOnly);
  const byName = new Map(served.map((agent) => [agent.name, agent]));
  const defaultAgent = byName.get(config.defaultAgent);
  if (!defaultAgent) {
    return err(`DEFAULT_AGENT must be one of ${[...byName.keys()].join(", ")}`);
  }
  return ok({ default: defaultAgent, get: (name) => byName.get(name), list: () => served });
}
