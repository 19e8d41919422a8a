// Reads the beginning of an answer's body, from a sender that may never stop, stall, or break off.
//
// A body that says its length, and is short, is read in one go: through a reader it costs half a delivery more.

export type Answer = {
  /** At most `maxBytes`; of a body that did not come to its end, what had come, or nothing. */
  bytes: Uint8Array;
  /** `limit`: there was more. `stopped`: time was over. `broken`: the connection or its encoding broke. */
  end: "complete" | "limit" | "stopped" | "broken";
};

const NOTHING = new Uint8Array();

/** Never rejects. Whatever is left of the body when `over` resolves is canceled, and not waited for. */
export async function readAnswer(
  response: Response,
  maxBytes: number,
  over: Promise<unknown>,
): Promise<Answer> {
  const { body, headers } = response;
  const length = lengthOf(headers);
  if (body === null || length === 0) return { bytes: NOTHING, end: "complete" };
  const stopped = over.then(() => "stopped" as const);
  // The length is that of the encoded body, which may grow a thousandfold.
  const isShort = length !== undefined && length <= maxBytes && !headers.has("content-encoding");
  return isShort ? readWhole(response, stopped) : readChunks(body, maxBytes, stopped);
}

/** How long the body says it is; one that comes in chunks does not, whatever else it says (RFC 9112 §6.3). */
function lengthOf(headers: Headers): number | undefined {
  const length = headers.get("content-length") ?? "";
  return /^\d+$/.test(length) && !headers.has("transfer-encoding") ? Number(length) : undefined;
}

/** The body that is stopped here is canceled with its request, by the same signal. */
async function readWhole(response: Response, stopped: Promise<"stopped">): Promise<Answer> {
  const whole = response.arrayBuffer().catch(() => "broken" as const);
  const bytes = await Promise.race([stopped, whole]);
  return typeof bytes === "string"
    ? { bytes: NOTHING, end: bytes }
    : { bytes: new Uint8Array(bytes), end: "complete" };
}

async function readChunks(
  body: ReadableStream<Uint8Array>,
  maxBytes: number,
  stopped: Promise<"stopped">,
): Promise<Answer> {
  const bytes = new Uint8Array(maxBytes);
  let size = 0;
  const reader = body.getReader();
  const ended = (end: Answer["end"]): Answer => {
    if (end !== "complete") reader.cancel().catch(() => {});
    return { bytes: bytes.subarray(0, size), end };
  };
  for (;;) {
    // A body that is aborted with its request breaks as well, but is not looked at first.
    const next = await Promise.race([stopped, reader.read().catch(() => "broken" as const)]);
    if (typeof next === "string") return ended(next);
    if (next.done) return ended("complete");
    const room = maxBytes - size;
    bytes.set(next.value.subarray(0, room), size);
    size += Math.min(next.value.byteLength, room);
    if (next.value.byteLength > room) return ended("limit");
  }
}
