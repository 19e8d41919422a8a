// A receiver of push notifications in TypeScript, for Node: node receiver.ts
//
// WEBHOOK_SECRET is the `secret` of the config, JWKS_URL the server's key set; at least one of them must be set.

import { createServer, type IncomingMessage } from "node:http";
import { createMemorySeen, createVerifier, parseDelivery } from "a2a-edge/verify";

const { WEBHOOK_SECRET, JWKS_URL, PORT = "8790" } = process.env;

const verifier = createVerifier({
  ...(WEBHOOK_SECRET && { secrets: [WEBHOOK_SECRET] }),
  ...(JWKS_URL && { jwksUrl: JWKS_URL }),
  // Several processes need a store they share: see `Seen`.
  seen: createMemorySeen(),
});

/** The notifications that were dealt with. Keep them where you keep what they did, and write both at once. */
const handled = new Set<string>();

type Answer = { status: number; text?: string };

async function receive(request: IncomingMessage): Promise<Answer> {
  const url = new URL(request.url ?? "/", "http://localhost");
  if (request.method === "GET" && url.pathname.endsWith("/validate")) {
    return { status: 200, text: url.searchParams.get("challenge") ?? "" };
  }
  if (request.method !== "POST") return { status: 405 };

  // The bytes as they came: JSON that was parsed and written again has another signature.
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const arrived = { headers: request.headers, body: Buffer.concat(chunks) };

  const verified = await verifier.verify(arrived);
  if (!verified.ok) {
    console.error(`refused: ${verified.error.reason} (${verified.error.detail})`);
    // 503 is sent again soon; 401 slowly, since somebody has to repair something.
    return { status: verified.error.reason === "jwks_unavailable" ? 503 : 401 };
  }

  const delivery = parseDelivery(arrived);
  if (!delivery.ok) return { status: 400, text: delivery.error.detail };
  for (const { id, taskId, payload } of delivery.value.notifications) {
    if (handled.has(id)) continue;
    handled.add(id);
    // Of A2A 0.3 and 0.1 it is the whole task: see payload.kind.
    const state = "status" in payload.value ? payload.value.status.state : payload.kind;
    console.log(`${taskId}: ${state}`);
  }
  return { status: 204 };
}

const server = createServer((request, response) => {
  const send = ({ status, text }: Answer) => {
    response.writeHead(status, { "content-type": "text/plain" }).end(text);
  };
  receive(request).then(send, (error) => {
    console.error(error);
    send({ status: 500 });
  });
});

server.listen(Number(PORT), "127.0.0.1", () => {
  const address = server.address();
  console.log(`Ready on http://127.0.0.1:${typeof address === "object" ? address?.port : PORT}`);
});
