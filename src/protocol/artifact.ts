// An artifact, what a task produces (§4.1.7).

import type * as z from "zod/mini";
import { Part } from "./part.ts";
import { id, string } from "./scalars.ts";
import { message, repeated, required } from "./schema.ts";
import { Struct } from "./struct.ts";

export const Artifact = message("Artifact", {
  artifactId: required(id),
  name: string,
  description: string,
  parts: required(repeated(Part)),
  metadata: Struct,
  extensions: repeated(string),
});
export type Artifact = z.infer<typeof Artifact>;
