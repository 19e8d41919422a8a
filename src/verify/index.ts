// `a2a-edge/verify`: for those who receive push notifications. It imports nothing of the server.

export type { FetchJwks, Jwks } from "./jwks.ts";
export type { JwtClaims, JwtOptions } from "./jwt.ts";
export {
  type Artifact,
  type Delivery,
  type HeadersLike,
  type Message,
  type Notification,
  type Parsed,
  type Part,
  type Payload,
  parseDelivery,
  type Task,
  type TaskState,
  type TaskStatus,
} from "./notification.ts";
export type {
  LegacyArtifact,
  LegacyFile,
  LegacyMessage,
  LegacyPart,
  LegacyTask,
  LegacyTaskState,
  OldestArtifact,
  OldestMessage,
  OldestPart,
  OldestTask,
  OldestTaskState,
} from "./older-dialects.ts";
export type { Checked, Reason, Refusal } from "./refusal.ts";
export { createMemorySeen, type Seen } from "./seen.ts";
export {
  type Arrived,
  type Check,
  createVerifier,
  type Verified,
  type Verifier,
  type VerifierOptions,
} from "./verifier.ts";
