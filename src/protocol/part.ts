// A part of a message or artifact (§4.1.6). Text may be empty, a URL not: an empty one points nowhere.

import type * as z from "zod/mini";
import { bytes, nonEmptyString, string } from "./scalars.ts";
import { message } from "./schema.ts";
import { Struct, Value } from "./struct.ts";

export const Part = message(
  "Part",
  { metadata: Struct, filename: string, mediaType: string },
  { text: string, raw: bytes, url: nonEmptyString, data: Value },
);
export type Part = z.infer<typeof Part>;
