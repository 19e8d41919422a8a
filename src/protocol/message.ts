// A message, one unit of communication between client and server (§4.1.4).

import type * as z from "zod/mini";
import { Part } from "./part.ts";
import { enumeration, id, string } from "./scalars.ts";
import { message, repeated, required } from "./schema.ts";
import { Struct } from "./struct.ts";

export const Role = enumeration("Role", "ROLE_UNSPECIFIED", { ROLE_USER: 1, ROLE_AGENT: 2 });
export type Role = z.infer<typeof Role>;

export const Message = message("Message", {
  messageId: required(id),
  contextId: id,
  taskId: id,
  role: required(Role),
  parts: required(repeated(Part)),
  metadata: Struct,
  extensions: repeated(string),
  referenceTaskIds: repeated(id),
});
export type Message = z.infer<typeof Message>;
