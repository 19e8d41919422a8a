// A Worker that sends one request the way the product does, and answers with what became of it.

import { createOutbound, type OutboundRequest } from "../../src/outbound/fetch.ts";
import { createResolver } from "../../src/outbound/resolve.ts";

export type Sending = {
  allowPrivate: boolean;
  dohUrl: string;
  ports: number[];
  request: OutboundRequest;
  /** Aborts the request after so many ms. */
  abortAfterMs?: number;
};

const now = () => Date.now();

export default {
  async fetch(incoming: Request): Promise<Response> {
    const { allowPrivate, dohUrl, ports, request, abortAfterMs } = (await incoming.json()) as Sending;
    const resolve = allowPrivate ? undefined : createResolver({ dohUrl, now });
    const outbound = createOutbound({ policy: { allowPrivate, ports, ownHosts: [] }, resolve, now });
    const caller = new AbortController();
    if (abortAfterMs !== undefined) setTimeout(() => caller.abort(), abortAfterMs);
    return Response.json(await outbound.send({ ...request, signal: caller.signal }));
  },
};
