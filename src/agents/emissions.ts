// What an agent's author may write, turned into what the server stores and sends. Throws a TypeError that
// says what is wrong: the author's mistake must not reach a client as an invalid event.

import type { Artifact } from "../protocol/artifact.ts";
import type { Message } from "../protocol/message.ts";
import type { Part } from "../protocol/part.ts";
import type { TaskState } from "../protocol/state.ts";
import type { JsonObject } from "../protocol/struct.ts";
import type { ArtifactInput, Content } from "./agent.ts";

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

const CONTENTS = ["text", "raw", "url", "data"] as const;

/** Text becomes one text part; parts are checked. */
export function toParts(content: Content): Part[] {
  if (typeof content === "string") return [{ text: content.toWellFormed() }];
  if (!Array.isArray(content) || content.length === 0) throw new TypeError("parts must not be empty");
  content.forEach((part, index) => {
    const present = CONTENTS.filter((name) => Object.hasOwn(part, name));
    if (present.length !== 1) {
      throw new TypeError(`parts[${index}] must hold exactly one of ${CONTENTS.join(", ")}`);
    }
  });
  return content;
}

/** An artifact's emission; `defaultId` names it if its author does not. */
export function toArtifactEmission(input: ArtifactInput, defaultId: string): Emission {
  const { name, description, metadata, append = false, lastChunk = false } = input;
  const artifact: Artifact = {
    artifactId: input.artifactId ?? defaultId,
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    parts: toParts(input.parts),
  };
  return { kind: "artifact", artifact, append, lastChunk, ...(metadata && { metadata }) };
}

/** A message of the agent in a task. */
export function toAgentMessage(
  task: { id: string; contextId: string },
  messageId: string,
  content: Content,
): Message {
  return {
    messageId,
    contextId: task.contextId,
    taskId: task.id,
    role: "ROLE_AGENT",
    parts: toParts(content),
  };
}
