// A body whose sender has gone to sleep.

/** One byte, and then nothing for ever. */
export function createTrickle(onCancel: () => void = () => {}): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode("{")),
    cancel: onCancel,
  });
}
