// JSON Canonicalization Scheme (RFC 8785): one text for one JSON value, so that it can be signed.
//
// ECMAScript's own JSON.stringify writes numbers and strings as the RFC asks (§3.2.2); what is left is the order of
// members, by UTF-16 code units (§3.2.3), which is how JavaScript compares strings.

/** The canonical text of a JSON value. Throws on what is no I-JSON: a lone surrogate, NaN, an undefined element. */
export function canonicalize(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalize).join(",")}]`;
  if (typeof value !== "object") throw new TypeError(`not a JSON value: ${String(value)}`);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${quote(name)}:${canonicalize(member)}`).join(",")}}`;
}

function quote(text: string): string {
  if (!text.isWellFormed()) throw new TypeError("not a JSON value: a text with half of a surrogate pair");
  return JSON.stringify(text);
}
