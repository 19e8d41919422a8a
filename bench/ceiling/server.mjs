// Runs the ceiling Worker the way our own is run: the Miniflare API, state on disk, no development proxy.
//
//   node server.mjs --port N --state DIR

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

const { values: args } = parseArgs({ options: { port: { type: "string" }, state: { type: "string" } } });

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    cf: false,
    telemetry: { enabled: false },
    resourcePersistencePath: args.state,
    name: "ceiling",
    modules: true,
    scriptPath: fileURLToPath(new URL("worker.mjs", import.meta.url)),
    compatibilityDate: "2026-10-20",
    unsafeDirectSockets: [{ host: "127.0.0.1", port: Number(args.port) }],
    serviceBindings: { EGRESS: { network: { allow: ["public", "private"] } } },
    durableObjects: { OBJECTS: { className: "CeilingObject", useSQLite: true } },
  }),
);
await miniflare.ready;
