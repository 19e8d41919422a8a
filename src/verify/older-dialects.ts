// What configs of older versions of A2A are told: the task as it was after the event.

type Metadata = Record<string, unknown>;

/** Of 0.3. */
export type LegacyTaskState =
  | "submitted"
  | "working"
  | "completed"
  | "failed"
  | "canceled"
  | "rejected"
  | "input-required"
  | "auth-required";

/** What a part of a file holds: bytes (base64) or where they are. */
export type LegacyFile = { name?: string; mimeType?: string; bytes?: string; uri?: string };

type PartOf<Tag extends "kind" | "type"> = { metadata?: Metadata } & (
  | ({ [member in Tag]: "text" } & { text: string })
  | ({ [member in Tag]: "file" } & { file: LegacyFile })
  | ({ [member in Tag]: "data" } & { data: unknown })
);

/** Of 0.3. */
export type LegacyPart = PartOf<"kind">;

/** Of 0.3. */
export type LegacyMessage = {
  kind: "message";
  messageId: string;
  role: "user" | "agent";
  parts: LegacyPart[];
  contextId?: string;
  taskId?: string;
  metadata?: Metadata;
  extensions?: string[];
  referenceTaskIds?: string[];
};

/** Of 0.3. */
export type LegacyArtifact = {
  artifactId: string;
  name?: string;
  description?: string;
  parts: LegacyPart[];
  metadata?: Metadata;
  extensions?: string[];
};

/** A task of 0.3. */
export type LegacyTask = {
  kind: "task";
  id: string;
  contextId?: string;
  status: { state: LegacyTaskState; message?: LegacyMessage; timestamp?: string };
  artifacts?: LegacyArtifact[];
  metadata?: Metadata;
};

/** Of 0.1, which says `failed` of what was rejected, and `input-required` of what waits for authentication. */
export type OldestTaskState = Exclude<LegacyTaskState, "rejected" | "auth-required">;

/** Of 0.1. */
export type OldestPart = PartOf<"type">;

/** Of 0.1. */
export type OldestMessage = { role: "user" | "agent"; parts: OldestPart[]; metadata?: Metadata };

/** Of 0.1; `index` is its place among the artifacts of the task. */
export type OldestArtifact = {
  name?: string;
  description?: string;
  parts: OldestPart[];
  index: number;
  metadata?: Metadata;
};

/** A task of 0.1. */
export type OldestTask = {
  id: string;
  sessionId?: string;
  status: { state: OldestTaskState; message?: OldestMessage; timestamp?: string };
  artifacts?: OldestArtifact[];
  metadata?: Metadata;
};
