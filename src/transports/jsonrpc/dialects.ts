// The dialects of the JSON-RPC binding, newest first.

import { current, type Dialect } from "../dialect.ts";
import { legacy } from "./legacy-methods.ts";
import { oldest } from "./oldest-methods.ts";

export const dialects: readonly Dialect[] = [current, legacy, oldest];
