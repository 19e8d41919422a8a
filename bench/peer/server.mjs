// The peer: the SDK's express server with one of its stores, set up as its documentation says.
//
//   node server.mjs --port N --store memory|full|normal --state DIR
//
// With PUSH_NOTIFICATIONS=true it also sends push notifications, by the SDK's sender from the SDK's memory store of
// configs, which is the only one it has; the other workloads are spared what looking there costs.
//
// The SDK leaves SQLite's pragmas to its user. WAL is the faster journal, so the peer gets it in both
// SQLite variants; `synchronous` is then set explicitly and read back on the very connection the store
// uses, because better-sqlite3 is compiled with another default for WAL databases.

import { execFileSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { AgentCard } from "@a2a-js/sdk";
import {
  DefaultPushNotificationSender,
  DefaultRequestHandler,
  InMemoryPushNotificationStore,
  InMemoryTaskStore,
  ServerCallContext,
} from "@a2a-js/sdk/server";
import { DatabaseTaskStore } from "@a2a-js/sdk/server/database";
import { jsonRpcHandler } from "@a2a-js/sdk/server/express";
import SQLite from "better-sqlite3";
import express from "express";
import { Kysely, SqliteDialect } from "kysely";
import { createAgent, createFinishedTask } from "./agent.mjs";

const SYNCHRONOUS = { full: 2, normal: 1 };
const pushNotifications = process.env.PUSH_NOTIFICATIONS === "true";

const { values: args } = parseArgs({
  options: { port: { type: "string" }, store: { type: "string" }, state: { type: "string" } },
});
const { taskStore, sqlite } =
  args.store === "memory" ? { taskStore: new InMemoryTaskStore() } : openDatabase();

function openDatabase() {
  const file = path.join(args.state, "tasks.db");
  const migrate = fileURLToPath(new URL("../dist/cli/a2a_db.js", import.meta.resolve("@a2a-js/sdk")));
  execFileSync(process.execPath, [migrate, "upgrade", "--url", `sqlite:${file}`], { stdio: "ignore" });

  const database = new SQLite(file);
  database.pragma("journal_mode = WAL");
  setSynchronous(database, SYNCHRONOUS[args.store]);
  const db = new Kysely({ dialect: new SqliteDialect({ database }) });
  return { taskStore: new DatabaseTaskStore(db), sqlite: database };
}

function setSynchronous(database, level) {
  database.pragma(`synchronous = ${level}`);
  database.prepare("SELECT count(*) FROM sqlite_schema").get(); // a first read is when SQLite applies its default
  const journal = database.pragma("journal_mode", { simple: true });
  const actual = database.pragma("synchronous", { simple: true });
  if (journal !== "wal" || actual !== level) {
    throw new Error(`wanted WAL with synchronous ${level}, have ${journal} with ${actual}`);
  }
}

function createUser(owner) {
  return { isAuthenticated: true, userName: owner ?? "anonymous" };
}

/** Stores finished tasks of one owner; the filling is not measured, so it need not be durable. */
async function fill(owner, count) {
  const context = new ServerCallContext({ user: createUser(owner) });
  const started = Date.now() - count;
  sqlite?.pragma("synchronous = OFF");
  sqlite?.exec("BEGIN");
  for (let n = 0; n < count; n++) await taskStore.save(createFinishedTask(n, started + n), context);
  sqlite?.exec("COMMIT");
  sqlite?.pragma("wal_checkpoint(TRUNCATE)");
  if (sqlite) setSynchronous(sqlite, SYNCHRONOUS[args.store]);
}

const card = AgentCard.fromJSON({
  name: "peer",
  description: "The SDK's express server, as a benchmark peer.",
  version: "1.0.0",
  supportedInterfaces: [
    { url: `http://127.0.0.1:${args.port}/`, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
  ],
  capabilities: { streaming: true, pushNotifications },
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain"],
  skills: [{ id: "echo", name: "echo", description: "Echoes.", tags: [] }],
});

function createHandler() {
  const agent = createAgent();
  if (!pushNotifications) return new DefaultRequestHandler(card, taskStore, agent);
  const configs = new InMemoryPushNotificationStore();
  const sender = new DefaultPushNotificationSender(configs);
  return new DefaultRequestHandler(card, taskStore, agent, undefined, configs, sender);
}

const app = express();
app.get("/health", (_request, response) => response.json({ status: "ok" }));
app.post("/bench/fill", express.json(), async (request, response) => {
  await fill(request.body.owner, request.body.count);
  response.json({ filled: request.body.count });
});
app.use(
  "/",
  jsonRpcHandler({
    requestHandler: createHandler(),
    userBuilder: async (request) => createUser(request.headers["x-dev-owner"]),
  }),
);
app.listen(Number(args.port), "127.0.0.1");
