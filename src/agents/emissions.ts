// What an agent's author may write, turned into what the server stores and sends. It is read by the same
// schemas as what clients send: the author's mistake must not reach a client as an invalid event.

import { toQuestion } from "../protocol/approvals.ts";
import { Artifact } from "../protocol/artifact.ts";
import { Message } from "../protocol/message.ts";
import { parseParams } from "../protocol/parse.ts";
import type { Part } from "../protocol/part.ts";
import type { Schema } from "../protocol/schema.ts";
import type { TaskState } from "../protocol/state.ts";
import { type JsonObject, Struct } from "../protocol/struct.ts";
import type { Agent, ArtifactInput, Content } from "./agent.ts";

/** What an agent, or the server in its place, says about a task. */
export type Emission =
  | { kind: "status"; state: TaskState; message?: Message }
  | {
      kind: "artifact";
      artifact: Artifact;
      append: boolean;
      lastChunk: boolean;
      metadata?: JsonObject;
    };

/** Bounds of what an agent may emit in one piece: depth as in requests, parts as many as fit. */
const LIMITS = { maxParts: Number.POSITIVE_INFINITY, maxDepth: 64 };

/** What an agent emitted is no event of the protocol; the message says what is wrong, and clients may read it. */
export class InvalidEmission extends Error {}

/** The value as the schema reads it. */
function check<T>(schema: Schema<T>, value: unknown): T {
  const parsed = parseParams(schema, value, LIMITS);
  if (parsed.ok) return parsed.value;
  const [violation] = parsed.error.violations ?? [];
  throw new InvalidEmission(`${violation?.field} ${violation?.description}`);
}

/** Text becomes one text part. Half of a surrogate pair, as chunks of text may hold it, becomes U+FFFD. */
function toParts(content: Content): Part[] {
  if (typeof content === "string") return [{ text: content.toWellFormed() }];
  if (!Array.isArray(content)) throw new InvalidEmission("parts must be an array");
  return content.map((part) =>
    typeof part?.text === "string" ? { ...part, text: part.text.toWellFormed() } : part,
  );
}

/** An artifact's emission; `defaultId` names it if its author does not. */
export function toArtifactEmission(input: ArtifactInput, defaultId: string): Emission {
  const { artifactId = defaultId, name, description, metadata, append = false, lastChunk = false } = input;
  const artifact = check(Artifact, { artifactId, name, description, parts: toParts(input.parts) });
  return {
    kind: "artifact",
    artifact,
    append,
    lastChunk,
    ...(metadata !== undefined && { metadata: check(Struct, metadata) }),
  };
}

type Ids = { id: string; contextId: string };

/** A message of the agent in a task. */
export function toAgentMessage(task: Ids, messageId: string, content: Content): Message {
  const ids = { messageId, contextId: task.contextId, taskId: task.id };
  return check(Message, { ...ids, role: "ROLE_AGENT", parts: toParts(content) });
}

/** The status in which a task waits for approval of a tool; `message` says what for. */
export function toApprovalEmission(agent: Agent, tool: string, message: Message): Emission {
  if (!agent.approvals.includes(tool)) {
    throw new InvalidEmission("approval was asked for a tool that the agent does not declare");
  }
  return { kind: "status", state: "TASK_STATE_AUTH_REQUIRED", message: { ...message, ...toQuestion(tool) } };
}
