// `npm start`: the Worker from its sources under wrangler's development server, which reloads it when a file
// changes. Run in this process and not as a command, so that nothing is left behind when it ends.

import "./errors-only.ts";
import "./quiet.ts";
import { relative } from "node:path";
import { unstable_startWorker } from "wrangler";
import { closeOnSignal, command, Refusal } from "./command.ts";
import { startCron } from "./cron.ts";
import { ensureSecrets, type Secrets, secretsFile } from "./local-secrets.ts";
import { requireHealth } from "./local-server.ts";
import { withLocalDatabases } from "./migrations.ts";
import { type Project, readProject, root } from "./project.ts";
import { HOST, readSettings, requireFreePort, type Settings } from "./settings.ts";
import { lockState } from "./state-lock.ts";
import { printWorkerLog } from "./worker-log.ts";

command(async () => {
  const project = readProject();
  const settings = readSettings(project, process.env);
  if (settings.port !== 0) await requireFreePort(settings.port);
  const secrets = await ensureSecrets(settings.stateDir, process.env);
  const unlock = lockState(settings.stateDir);
  await withLocalDatabases(project, settings.stateDir);
  const worker = await startWorker(project, settings, secrets);
  closeOnSignal(async () => {
    await worker.dispose();
    unlock();
  });
  await worker.ready;
  const url = (await worker.url).origin;
  await requireHealth(url);
  startCron(async () => (await fetch(`${url}/cdn-cgi/local/scheduled`)).ok, settings.cronSeconds);
  const authMode = settings.vars.AUTH_MODE ?? String(project.vars.AUTH_MODE);
  const { ADMIN_KEY } = process.env;
  const operator =
    ADMIN_KEY === undefined ? `ADMIN_KEY in ${relative(root, secretsFile(settings.stateDir))}` : "ADMIN_KEY";
  console.log(
    `Ready on ${url}\n\n${example(url, authMode)}\n\nThe operator's key, for /admin/v1 and /metrics: ${operator}\n\nStop with Ctrl-C.`,
  );
});

async function startWorker(project: Project, { port, stateDir, vars }: Settings, secrets: Secrets) {
  try {
    return await unstable_startWorker({
      config: project.configPath,
      env: "",
      bindings: { ...toBindings("plain_text", vars), ...toBindings("secret_text", secrets) },
      dev: {
        remote: false,
        watch: true,
        logLevel: "error",
        server: { hostname: HOST, port },
        inspector: false,
        persist: stateDir,
        structuredLogsHandler: printWorkerLog,
      },
    });
  } catch (error) {
    const { cause } = error as Error;
    throw new Refusal(`The Worker does not start: ${cause instanceof Error ? cause.message : error}`);
  }
}

function toBindings<T extends "plain_text" | "secret_text">(type: T, values: Record<string, string>) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { type, value }]));
}

function example(url: string, authMode: string): string {
  const message = { messageId: "1", role: "ROLE_USER", parts: [{ text: "Hello" }] };
  const body = { jsonrpc: "2.0", id: 1, method: "SendStreamingMessage", params: { message } };
  const credential = authMode === "open" ? "" : " -H 'Authorization: Bearer CREDENTIAL'";
  const line = `curl -N ${url}/${credential} -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
  return `${tryIt(authMode)}:\n\n${line}`;
}

function tryIt(authMode: string): string {
  if (authMode === "open") return "Try it";
  const takesKeys = authMode.includes("api-key");
  return `Try it, with ${takesKeys ? "what npm run key -- --owner alice makes" : "an access token"} as CREDENTIAL`;
}
