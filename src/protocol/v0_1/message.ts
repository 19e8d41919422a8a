// Messages of A2A 0.1. They have no id, and do not say to which task they belong: the request does.

import type * as z from "zod/mini";
import type { Message } from "../message.ts";
import { message, repeated, required } from "../schema.ts";
import { type JsonObject, Struct } from "../struct.ts";
import { toCorePart } from "../v0_3/part.ts";
import { LegacyRole, toCoreRole, toLegacyRole } from "../v0_3/state.ts";
import { OldestPart, toOldestPart } from "./part.ts";

export const SentMessage = message("Message", {
  role: required(LegacyRole),
  parts: required(repeated(OldestPart)),
  metadata: Struct,
});
export type SentMessage = z.infer<typeof SentMessage>;

export type OldestMessage = { role: LegacyRole; parts: OldestPart[]; metadata?: JsonObject };

/** Its id is empty: the core gives it that of the call, so that the same message is the same request. */
export function toCoreMessage({ role, parts, ...rest }: SentMessage): Message {
  return { messageId: "", ...rest, role: toCoreRole(role), parts: parts.map(toCorePart) };
}

export function toOldestMessage({ role, parts, metadata }: Message): OldestMessage {
  return { role: toLegacyRole(role), parts: parts.map(toOldestPart), ...(metadata && { metadata }) };
}
