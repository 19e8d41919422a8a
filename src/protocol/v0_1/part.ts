// Parts of A2A 0.1: those of 0.3, told apart by `type`.

import * as z from "zod/mini";
import type { Part } from "../part.ts";
import { named, type Schema } from "../schema.ts";
import { LegacyPart, toLegacyPart } from "../v0_3/part.ts";
import { isObject, mustBe, refuse } from "../violations.ts";

/** Read into what it is in 0.3. */
export const OldestPart: Schema<LegacyPart> = named(
  z.transform((input: unknown, context): LegacyPart => {
    if (!isObject(input)) {
      refuse(context, mustBe("an object", input));
      return {} as LegacyPart;
    }
    const parsed = z.safeParse(LegacyPart, { ...input, kind: input.type });
    if (parsed.success) return parsed.data;
    for (const { message, path } of parsed.error.issues) {
      const isKind = path.length === 1 && path[0] === "kind";
      refuse(context, message, ...(isKind ? ["type"] : path));
    }
    return {} as LegacyPart;
  }),
  "Part",
);

type Typed<P> = P extends { kind: infer K } ? { type: K } & Omit<P, "kind"> : never;
export type OldestPart = Typed<LegacyPart>;

export function toOldestPart(part: Part): OldestPart {
  const { kind, ...rest } = toLegacyPart(part);
  return { type: kind, ...rest } as OldestPart;
}
