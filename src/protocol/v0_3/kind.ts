// The unions of A2A 0.3, whose members are told apart by `kind`.

import * as z from "zod/mini";
import { named, type Schema } from "../schema.ts";
import { isObject, mustBe, refuse } from "../violations.ts";

export type ByKind<S extends Record<string, Schema<object>>> = {
  [K in keyof S]: { kind: K } & z.infer<S[K]>;
}[keyof S];

/** One of `members`, by the member's name in `kind`. */
export function byKind<const S extends Record<string, Schema<object>>>(
  proto: string,
  members: S,
): Schema<ByKind<S>> {
  const kinds = Object.keys(members).join(", ");
  const union = z.transform((input: unknown, context): ByKind<S> => {
    const kind = isObject(input) ? input.kind : undefined;
    const schema = typeof kind === "string" && Object.hasOwn(members, kind) ? members[kind] : undefined;
    if (schema === undefined) {
      if (isObject(input)) refuse(context, `must be one of ${kinds}`, "kind");
      else refuse(context, mustBe("an object", input));
      return {} as ByKind<S>;
    }
    const parsed = z.safeParse(schema, input);
    if (parsed.success) return { kind, ...parsed.data } as unknown as ByKind<S>;
    for (const issue of parsed.error.issues) refuse(context, issue.message, ...issue.path);
    return {} as ByKind<S>;
  });
  return named(union, proto);
}
