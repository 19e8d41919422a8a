// JSON text from strangers. Depth is counted over the text first: JSON.parse and every recursive reader
// after it spend a stack frame a level, and a body of 1 MB can hold half a million of them.

import { err, ok, type Result } from "../lib/result.ts";
import { type Failure, failure, type Reason } from "./errors.ts";

/** How deep arrays and objects are nested in JSON text; stops counting at `enough`. */
export function jsonDepth(text: string, enough = Number.POSITIVE_INFINITY): number {
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // a string: on to its closing quote, over escaped ones
        i = endOfString(text, i + 1);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth++;
        if (depth > deepest) deepest = depth;
        if (deepest >= enough) return deepest;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
  return deepest;
}

/** The index of the quote that ends the string starting at `from`, or the length of the text. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** Whether a value is nested deeper than `maxDepth`; looks one level further at most. */
export function isDeeperThan(value: unknown, maxDepth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (maxDepth <= 0) return true;
  const children: unknown[] = Array.isArray(value) ? value : Object.values(value);
  return children.some((child) => isDeeperThan(child, maxDepth - 1));
}

/** Parses a body: PARSE_ERROR if it is no JSON, `tooDeep` if it is nested deeper than `maxDepth`. */
export function parseJson(
  text: string,
  maxDepth: number,
  tooDeep: Reason = "INVALID_REQUEST",
): Result<unknown, Failure> {
  if (jsonDepth(text, maxDepth + 1) > maxDepth) {
    return err(failure(tooDeep, { message: `JSON must not be nested deeper than ${maxDepth} levels` }));
  }
  try {
    return ok(JSON.parse(text));
  } catch {
    // V8's message quotes the input: it stays here.
    return err(failure("PARSE_ERROR"));
  }
}
