// The entities of A2A 0.3 in the form of its proto, which is what HTTP+JSON speaks (0.3 §3.2.3): the JSON of JSON-RPC
// under other names. A message holds `content`, a file says with what it comes, states and roles are enums.
//
// Some fields have a name in JSON that is not that of the proto (`message` is `msg`, `update` or `request`): written is
// the JSON name, which every official client reads.

import type * as z from "zod/mini";
import { Role } from "../message.ts";
import { bytes, enumeration, id, nonEmptyString, string } from "../scalars.ts";
import { message, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import type { LegacyArtifact } from "./artifact.ts";
import type { LegacyEvent } from "./events.ts";
import type { LegacyMessage } from "./message.ts";
import type { LegacyPart } from "./part.ts";
import { type LegacyTaskState, toCoreRole, toLegacyRole } from "./state.ts";
import type { LegacyTask, LegacyTaskStatus } from "./task.ts";

const FilePart = message(
  "FilePart",
  { mimeType: string, name: string },
  { fileWithUri: nonEmptyString, fileWithBytes: bytes },
);
const DataPart = message("DataPart", { data: Struct });
export const ProtoPart = message(
  "Part",
  { metadata: Struct },
  { text: string, file: FilePart, data: DataPart },
);
export type ProtoPart = z.infer<typeof ProtoPart>;

export function fromProtoPart({ metadata: given, ...part }: ProtoPart): LegacyPart {
  const metadata = given && { metadata: given };
  if (part.text !== undefined) return { kind: "text", text: part.text, ...metadata };
  if (part.data !== undefined) return { kind: "data", data: part.data.data ?? {}, ...metadata };
  const { fileWithUri, fileWithBytes, ...names } = part.file;
  const content = fileWithUri === undefined ? { bytes: fileWithBytes } : { uri: fileWithUri };
  return { kind: "file", file: { ...content, ...names }, ...metadata };
}

export function toProtoPart(part: LegacyPart): object {
  const metadata = part.metadata && { metadata: part.metadata };
  if (part.kind === "text") return { text: part.text, ...metadata };
  if (part.kind === "data") return { data: { data: part.data }, ...metadata };
  const { bytes, uri, ...names } = part.file;
  const content = uri === undefined ? { fileWithBytes: bytes } : { fileWithUri: uri };
  return { file: { ...content, ...names }, ...metadata };
}

export const ProtoMessage = message("Message", {
  messageId: required(id),
  contextId: id,
  taskId: id,
  role: required(Role),
  content: required(repeated(ProtoPart)),
  metadata: Struct,
  extensions: repeated(string),
});
export type ProtoMessage = z.infer<typeof ProtoMessage>;

export function fromProtoMessage({ role, content, ...rest }: ProtoMessage): LegacyMessage {
  return { ...rest, role: toLegacyRole(role), parts: content.map(fromProtoPart) };
}

/** The proto of 0.3 has no references to other tasks. */
export function toProtoMessage({
  kind: _kind,
  referenceTaskIds: _references,
  role,
  parts,
  ...rest
}: LegacyMessage): object {
  return { ...rest, role: toCoreRole(role), content: parts.map(toProtoPart) };
}

const states = {
  submitted: "TASK_STATE_SUBMITTED",
  working: "TASK_STATE_WORKING",
  completed: "TASK_STATE_COMPLETED",
  failed: "TASK_STATE_FAILED",
  canceled: "TASK_STATE_CANCELLED",
  "input-required": "TASK_STATE_INPUT_REQUIRED",
  rejected: "TASK_STATE_REJECTED",
  "auth-required": "TASK_STATE_AUTH_REQUIRED",
} as const satisfies Record<LegacyTaskState, string>;
type ProtoState = (typeof states)[LegacyTaskState];

/** With the spelling of 1.0 for what 0.3 writes with two L. */
export const ProtoTaskState = enumeration<ProtoState | "TASK_STATE_CANCELED">(
  "TaskState",
  "TASK_STATE_UNSPECIFIED",
  {
    TASK_STATE_SUBMITTED: 1,
    TASK_STATE_WORKING: 2,
    TASK_STATE_COMPLETED: 3,
    TASK_STATE_FAILED: 4,
    TASK_STATE_CANCELED: 5,
    TASK_STATE_CANCELLED: 5,
    TASK_STATE_INPUT_REQUIRED: 6,
    TASK_STATE_REJECTED: 7,
    TASK_STATE_AUTH_REQUIRED: 8,
  },
);

const legacyStates = new Map(
  Object.entries(states).map(([legacy, proto]) => [proto as string, legacy as LegacyTaskState]),
);

export function fromProtoState(state: z.infer<typeof ProtoTaskState>): LegacyTaskState {
  return legacyStates.get(state) ?? "canceled";
}

export function toProtoStatus({ state, message, ...rest }: LegacyTaskStatus): object {
  return { ...rest, state: states[state], ...(message && { message: toProtoMessage(message) }) };
}

export function toProtoArtifact({ parts, ...rest }: LegacyArtifact): object {
  return { ...rest, parts: parts.map(toProtoPart) };
}

export function toProtoTask({ kind: _, status, artifacts, history, ...rest }: LegacyTask): object {
  return {
    ...rest,
    status: toProtoStatus(status),
    ...(artifacts && { artifacts: artifacts.map(toProtoArtifact) }),
    ...(history && { history: history.map(toProtoMessage) }),
  };
}

/** A StreamResponse, and the SendMessageResponse that is a part of it. */
export function toProtoEvent(event: LegacyEvent): object {
  switch (event.kind) {
    case "task":
      return { task: toProtoTask(event) };
    case "message":
      return { message: toProtoMessage(event) };
    case "status-update": {
      const { kind: _, status, ...rest } = event;
      return { statusUpdate: { ...rest, status: toProtoStatus(status) } };
    }
    case "artifact-update": {
      const { kind: _, artifact, ...rest } = event;
      return { artifactUpdate: { ...rest, artifact: toProtoArtifact(artifact) } };
    }
  }
}
