import * as z from "zod/mini";
import { fromJSONSchema } from "zod";
import { it } from "vitest";
it("x", () => {
  const reg = z.registry<{ id: string }>();
  const time = z.iso.datetime();
  const A = z.strictObject({ at: time, n: z.nullable(z.int()), s: z.enum(["a","b"]) });
  const B = z.strictObject({ list: z.array(A), next: z.string() });
  reg.add(A, { id: "A" }); reg.add(B, { id: "B" });
  const doc = z.toJSONSchema(reg, { uri: (id) => `#/components/schemas/${id}` });
  console.log(JSON.stringify(doc, null, 1));
  console.log(JSON.stringify(z.toJSONSchema(z.array(z.string()))));
});
