// Artifacts of A2A 0.3: those of 1.0, of older parts.

import type * as z from "zod/mini";
import type { Artifact } from "../artifact.ts";
import { id, string } from "../scalars.ts";
import { message, repeated, required } from "../schema.ts";
import { Struct } from "../struct.ts";
import { LegacyPart, toCorePart, toLegacyPart } from "./part.ts";

export const LegacyArtifact = message("Artifact", {
  artifactId: required(id),
  name: string,
  description: string,
  parts: required(repeated(LegacyPart)),
  metadata: Struct,
  extensions: repeated(string),
});
export type LegacyArtifact = z.infer<typeof LegacyArtifact>;

export function toCoreArtifact({ parts, ...rest }: LegacyArtifact): Artifact {
  return { ...rest, parts: parts.map(toCorePart) };
}

export function toLegacyArtifact({ parts, ...rest }: Artifact): LegacyArtifact {
  return { ...rest, parts: parts.map(toLegacyPart) };
}
