// The webhook receiver of the benchmark: a process of its own on the load's core. It answers 200 as soon as a
// notification has been read, and keeps of each task when which notification came.
//
//   node receiver.mjs --port N            answers
//   node receiver.mjs --port N --silent   accepts, and never answers: an endpoint at 100 % time-outs
//
// POST /reset forgets everything, GET /stats counts, GET /tasks tells what came of each task, GET …/validate echoes
// a challenge. Every other POST is a notification. Times are wall clock ms, which all processes of a machine share.

import http from "node:http";
import { parseArgs } from "node:util";

const { values: args } = parseArgs({
  options: { port: { type: "string" }, silent: { type: "boolean", default: false } },
});

let stats;
/** By task id: `{ notifications, completedAt, committedAt }`, the last two of the first `completed` that came. */
let tasks;
reset();

function reset() {
  stats = { requests: 0, notifications: 0, completed: 0, firstAt: null, lastAt: null, connections: 0 };
  tasks = new Map();
}

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://receiver");
  if (request.method === "GET") {
    const echo = { "/health": { status: "ok" }, "/stats": stats }[pathname];
    if (echo) answer(response, echo);
    else if (pathname === "/tasks") answer(response, Object.fromEntries(tasks));
    else answer(response, { challenge: searchParams.get("challenge") });
    return;
  }
  if (pathname === "/reset") {
    reset();
    answer(response, {});
    return;
  }
  stats.requests++;
  if (args.silent) {
    request.resume();
    return;
  }
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (chunk) => {
    text += chunk;
  });
  request.on("end", () => {
    const at = Date.now();
    response.writeHead(200, { "content-length": 0 }).end();
    note(text, at);
  });
});
server.on("connection", () => stats.connections++);
// A sender's idle connection is its own to close: one that is closed while a request is on its way loses that.
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.listen(Number(args.port), "127.0.0.1");

function note(text, at) {
  const { task, statusUpdate, artifactUpdate } = JSON.parse(text);
  const id = task?.id ?? statusUpdate?.taskId ?? artifactUpdate?.taskId;
  const status = task?.status ?? statusUpdate?.status;
  stats.notifications++;
  stats.firstAt ??= at;
  stats.lastAt = at;
  const known = tasks.get(id) ?? { notifications: 0 };
  known.notifications++;
  if (status?.state === "TASK_STATE_COMPLETED" && known.completedAt === undefined) {
    known.completedAt = at;
    known.committedAt = Date.parse(status.timestamp);
    stats.completed++;
  }
  tasks.set(id, known);
}

function answer(response, value) {
  const text = JSON.stringify(value);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
