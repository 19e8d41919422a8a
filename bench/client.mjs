// The load: a closed loop of N keep-alive connections, each sending its next request when the last one is
// answered. Every latency is kept, so percentiles are exact. A slice ends after its time or its count,
// and then waits for what is in flight: a server that answers late cannot hide its slowest answers.

import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const REQUEST_TIMEOUT_MS = 60_000;
/** A connection is idle for so long at most: a server that closes it first may do so while a request is on its way. */
const IDLE_MS = 2_000;

/** One HTTP/1.1 client with at most `connections` sockets. */
export function createClient(origin, connections) {
  const { hostname, port } = new URL(origin);
  const agent = new http.Agent({
    keepAlive: true,
    maxSockets: connections,
    maxFreeSockets: connections,
    timeout: IDLE_MS,
  });

  /** Sends one POST and hands the response's chunks, as text, to `onText`; resolves at the end. */
  function post(path, headers, body, onText) {
    const length = { "content-length": Buffer.byteLength(body) };
    return send({ method: "POST", path, headers: { ...headers, ...length } }, body, onText);
  }

  /** The same for a GET. */
  function get(path, headers, onText) {
    return send({ method: "GET", path, headers }, undefined, onText);
  }

  function send(options, body, onText) {
    return new Promise((resolve, reject) => {
      const request = http.request(
        { agent, hostname, port, timeout: REQUEST_TIMEOUT_MS, ...options },
        (response) => {
          response.setEncoding("utf8");
          response.on("data", onText);
          response.on("error", reject);
          response.on("end", () =>
            response.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${response.statusCode}`)),
          );
        },
      );
      request.on("timeout", () => request.destroy(new Error("timeout")));
      request.on("error", reject);
      request.end(body);
    });
  }

  return { post, get, close: () => agent.destroy() };
}

/**
 * Runs `call` on `connections` lanes until `durationMs` or `count` is reached.
 * A call that throws is counted as failed; one that resolves to a number reports the milliseconds until
 * its first event.
 */
export async function measure({ connections, durationMs = Number.POSITIVE_INFINITY, count, call }) {
  const latencies = [];
  const settled = []; // without the first of each lane, which waited for its connection to be accepted
  const firsts = [];
  const errors = new Map();
  let started = 0;
  const start = performance.now();
  let end = start;

  async function lane() {
    let isFirst = true;
    while (performance.now() - start < durationMs && (count === undefined || started < count)) {
      const n = started++;
      const sentAt = performance.now();
      try {
        const first = await call(n);
        if (first !== undefined) firsts.push(first);
        end = performance.now();
        latencies.push(end - sentAt);
        if (!isFirst) settled.push(end - sentAt);
        isFirst = false;
      } catch (error) {
        errors.set(error.message, (errors.get(error.message) ?? 0) + 1);
      }
    }
  }
  await Promise.all(Array.from({ length: connections }, lane));

  return {
    rate: latencies.length / ((end - start) / 1000),
    ...percentiles(latencies),
    settledP99: percentiles(settled).p99,
    firstP50: percentiles(firsts).p50,
    count: latencies.length,
    failed: started - latencies.length,
    errors,
  };
}

/**
 * An open loop: `count` calls, `rate` a second, whether or not the earlier ones have been answered. A latency counts
 * from the moment a call was due, so neither a slow server nor a late load can hide what it holds up. `latencies` are
 * in the order of the calls; that of a call that failed is undefined.
 */
export async function pace({ rate, count, call }) {
  const latencies = new Array(count);
  const errors = new Map();
  const calls = [];
  let failed = 0;
  const start = performance.now();

  async function one(n, dueAt) {
    try {
      await call(n);
      latencies[n] = performance.now() - dueAt;
    } catch (error) {
      errors.set(error.message, (errors.get(error.message) ?? 0) + 1);
      failed++;
    }
  }
  for (let n = 0; n < count; n++) {
    const dueAt = start + (n * 1000) / rate;
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await delay(waitMs);
    calls.push(one(n, dueAt));
  }
  await Promise.all(calls);
  return { latencies, failed, errors };
}

/** `{ p50, p95, p99 }` of the values that there are. */
export function percentiles(values) {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95), p99: percentile(sorted, 0.99) };
}

/** The smallest value that at least the share `q` of the sorted values does not exceed (nearest rank). */
function percentile(sorted, q) {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
