// The answer of an export: lines that are written while they are read, as fast as the client takes them, so that it is
// never in memory as a whole. What fails in the middle of it breaks it off, since its status was told long before.

import { log } from "../telemetry/log.ts";

/**
 * Answers with JSON lines, of which each text holds some. The first are read before that, so that what fails at once is
 * answered as what it is.
 */
export async function answerLines(texts: AsyncGenerator<string>): Promise<never> {
  const encoder = new TextEncoder();
  let first: IteratorResult<string> | undefined = await texts.next();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = first ?? (await texts.next());
          first = undefined;
          if (done) controller.close();
          else controller.enqueue(encoder.encode(value));
        } catch (error) {
          log("error", "an export broke", { error });
          controller.error(error);
        }
      },
      cancel: async () => void (await texts.return(undefined)),
    },
    { highWaterMark: 0 },
  );
  const headers = { "content-type": "application/x-ndjson", "cache-control": "no-store" };
  // The dispatcher passes on a Response as it stands.
  return new Response(body, { headers }) as never;
}
