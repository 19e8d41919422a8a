// Messages of A2A 0.3. `kind` may be missing: the specification's own examples leave it out.

import type * as z from "zod/mini";
import { oneOf } from "../limited-text.ts";
import type { Message } from "../message.ts";
import { id, string } from "../scalars.ts";
import { message, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import { LegacyPart, toCorePart, toLegacyPart } from "./part.ts";
import { LegacyRole, toCoreRole, toLegacyRole } from "./state.ts";

export const LegacyMessage = message("Message", {
  kind: oneOf(["message"]),
  messageId: required(id),
  contextId: id,
  taskId: id,
  role: required(LegacyRole),
  parts: required(repeated(LegacyPart)),
  metadata: Struct,
  extensions: repeated(string),
  referenceTaskIds: repeated(id),
});
export type LegacyMessage = z.infer<typeof LegacyMessage>;

export function toCoreMessage({ kind: _, role, parts, ...rest }: LegacyMessage): Message {
  return { ...rest, role: toCoreRole(role), parts: parts.map(toCorePart) };
}

export function toLegacyMessage({ role, parts, ...rest }: Message): LegacyMessage & { kind: "message" } {
  return { kind: "message", ...rest, role: toLegacyRole(role), parts: parts.map(toLegacyPart) };
}
