// Reads the beginning of an answer's body, from a sender that may never stop, stall, or break off.

export type Answer = {
  /** At most `maxBytes`, also when it ended before its end. */
  bytes: Uint8Array;
  /** `limit`: there was more. `stopped`: the signal fired. `broken`: the connection or its encoding broke. */
  end: "complete" | "limit" | "stopped" | "broken";
};

/** Never rejects. Whatever is left of the body is canceled, and not waited for. */
export async function readAnswer(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Answer> {
  if (body === null) return { bytes: new Uint8Array(), end: "complete" };
  const bytes = new Uint8Array(maxBytes);
  let size = 0;
  const reader = body.getReader();
  const ended = (end: Answer["end"]): Answer => {
    if (end !== "complete") reader.cancel().catch(() => {});
    return { bytes: bytes.subarray(0, size), end };
  };
  const stopped = new Promise<"stopped">((settle) => {
    signal.addEventListener("abort", () => settle("stopped"), { once: true });
  });
  while (!signal.aborted) {
    const next = await Promise.race([reader.read().catch(() => "broken" as const), stopped]);
    // A body that is aborted with its request breaks as well.
    if (next === "stopped" || signal.aborted) break;
    if (next === "broken") return ended("broken");
    if (next.done) return ended("complete");
    const room = maxBytes - size;
    bytes.set(next.value.subarray(0, room), size);
    size += Math.min(next.value.byteLength, room);
    if (next.value.byteLength > room) return ended("limit");
  }
  return ended("stopped");
}
