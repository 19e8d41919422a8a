// The built Worker in the local runtime, without the development proxy: for speed at home, for the benches
// and for the process tests. All state is on disk, so a killed process loses nothing that was acknowledged.

import "./quiet.ts";
import { readdirSync } from "node:fs";
import { extname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions } from "wrangler";
import { buildWorker } from "./build.ts";
import { Refusal } from "./command.ts";
import { startCron } from "./cron.ts";
import { directEgress } from "./egress.ts";
import { withLocalDatabases } from "./migrations.ts";
import { createOutboundService, type OutboundService, type OutboundServiceOptions } from "./outbound.ts";
import { type Project, readProject } from "./project.ts";
import { HOST, requireFreePort } from "./settings.ts";
import { lockState } from "./state-lock.ts";
import { printWorkerLog } from "./worker-log.ts";

export type ServeOptions = {
  /** 0 (default) lets the system choose. */
  port?: number;
  /** Where objects, D1 and workflows are kept; an absolute path. */
  stateDir: string;
  /** Overrides of the vars in wrangler.toml. */
  vars?: Record<string, string>;
  /** A folder made by `buildWorker`; absent: built where the sources have changed. */
  build?: string;
  /** How often the cron trigger is fired; default 60. */
  cronSeconds?: number;
  /** How names are resolved, and whom to trust, where webhooks may not lead inside; default: as the service does. */
  outbound?: Pick<OutboundServiceOptions, "findAddresses" | "ca">;
};

/** A running server; its `url` has no trailing slash. */
export type LocalServer = { url: string; close(): Promise<void> };

/** Serves on the loopback address; resolves when `GET /health` answers. */
export async function serve(options: ServeOptions): Promise<LocalServer> {
  const project = readProject();
  const build = options.build ?? (await buildWorker());
  const port = options.port ?? 0;
  if (port !== 0) await requireFreePort(port);
  const unlock = lockState(options.stateDir);
  const outbound = guardedOutbound(project, options);
  // Before it serves: what a home ships needs its tables.
  await withLocalDatabases(project, options.stateDir);
  const runtime = new Miniflare(runtimeOptions(project, options, build, port, outbound));
  const dispose = async () => {
    await runtime.dispose();
    outbound?.close();
    unlock();
  };
  try {
    const url = (await runtime.unsafeGetDirectURL()).origin;
    await requireHealth(url);
    const worker = await runtime.getWorker();
    const fire = async () => (await worker.scheduled({ cron: "* * * * *" })).outcome === "ok";
    const stopCron = startCron(fire, options.cronSeconds ?? 60);
    return {
      url,
      async close() {
        stopCron();
        await dispose();
      },
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Where webhooks may not lead inside, every request of the Worker goes through a filter; a wrong setting is no "true". */
function guardedOutbound(project: Project, { vars, outbound }: ServeOptions): OutboundService | undefined {
  const { ALLOW_PRIVATE_WEBHOOKS, DOH_URL } = { ...project.vars, ...vars };
  if (ALLOW_PRIVATE_WEBHOOKS === "true") return undefined;
  const compatibilityDate = project.compatibility_date ?? "";
  return createOutboundService({ dohUrl: String(DOH_URL), compatibilityDate, ...outbound });
}

function runtimeOptions(
  project: Project,
  options: ServeOptions,
  build: string,
  port: number,
  outbound: OutboundService | undefined,
) {
  const { workerOptions, externalWorkers } = unstable_getMiniflareWorkerOptions(project);
  const { modulesRules: _bundlersOwn, ...bindings } = workerOptions;
  return convertV4MiniflareOptions({
    cf: false,
    telemetry: { enabled: false },
    resourcePersistencePath: join(options.stateDir, "v3"),
    log: new Log(LogLevel.ERROR, { prefix: "runtime" }),
    handleStructuredLogs: printWorkerLog,
    workers: [
      {
        ...bindings,
        // The state of an object is kept under this name: the same as under wrangler dev.
        name: project.name ?? "worker",
        modules: modules(build),
        modulesRoot: build,
        // Clients reach the Worker itself, not by way of one of the runtime's that looks at every request.
        unsafeDirectSockets: [{ host: HOST, port }],
        serviceBindings: {
          ...(bindings.serviceBindings as object),
          ...(!outbound && { EGRESS: directEgress() }),
        },
        // There is no address of a client to hide: nothing stands in front of this server.
        stripCfConnectingIp: false,
        bindings: { ...(bindings.bindings as object), ...options.vars },
        ...(outbound && { outboundService: outbound.name }),
      },
      ...(outbound ? [outbound.worker] : []),
      ...externalWorkers,
    ],
  });
}

const moduleTypes = {
  ".js": "ESModule",
  ".txt": "Text",
  ".html": "Text",
  ".sql": "Text",
  ".bin": "Data",
  ".wasm": "CompiledWasm",
} as const;

/** The bundle, which has to come first, and whatever wrangler left beside it. */
function modules(build: string) {
  const names = readdirSync(build).filter((name) => name !== "index.js");
  return ["index.js", ...names].flatMap((name) => {
    const type = moduleTypes[extname(name) as keyof typeof moduleTypes];
    return type === undefined ? [] : [{ type, path: join(build, name) }];
  });
}

const LOG_MS = 500;

/** Refuses a server that does not answer well; why it does not is in its own log, printed before. */
export async function requireHealth(url: string): Promise<void> {
  const status = await fetch(`${url}/health`).then(
    async (response) => {
      await response.arrayBuffer();
      return response.status;
    },
    () => "nothing",
  );
  if (status === 200) return;
  // The log comes by another way than the answer, and would be lost with the runtime.
  await sleep(LOG_MS);
  throw new Refusal(`The server does not start: GET /health answered ${status}.`);
}
