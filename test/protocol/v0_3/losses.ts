// What of a 1.0 object cannot be said in 0.3 (docs/compatibility.md): the object without it is what comes back.

type Json = Record<string, unknown>;

/** Media type and name of parts that are no files. */
export function withoutLosses<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutLosses) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value as Json).map(([key, member]) => {
    if (key === "parts") return [key, (member as Json[]).map(partWithoutLosses)];
    // JSON of a caller's own is handed on as it is.
    return [key, key === "metadata" ? member : withoutLosses(member)];
  });
  return Object.fromEntries(entries) as T;
}

function partWithoutLosses(part: Json): Json {
  if ("raw" in part || "url" in part) return part;
  const { mediaType: _mediaType, filename: _filename, ...rest } = part;
  return rest;
}

/** Over HTTP+JSON: what the proto of 0.3 has no field for, and what the official client leaves out of its own. */
export function withoutProtoLosses<T>(value: T): T {
  return dropped(withoutLosses(value)) as T;
}

function dropped(value: unknown, isPart = false): unknown {
  if (Array.isArray(value)) return value.map((item) => dropped(item, isPart));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value as Json).flatMap(([key, member]) => {
    if (key === "referenceTaskIds" || (isPart && (key === "metadata" || key === "filename"))) return [];
    if (key === "metadata" || key === "data") return [[key, member]];
    return [[key, dropped(member, key === "parts")]];
  });
  return Object.fromEntries(entries);
}
