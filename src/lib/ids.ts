// Identifiers: UUID version 7 (RFC 9562 §5.7), whose first 48 bits are the time, so that rows made
// together lie together in an index.

/** A UUID v7 for the time `now` in milliseconds since 1970. */
export function uuidv7(now: number): string {
  const time = now.toString(16).padStart(12, "0");
  // The random part and the variant are those of a version 4.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${crypto.randomUUID().slice(15)}`;
}
