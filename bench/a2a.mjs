// The A2A calls of the benchmark, over JSON-RPC, the same bytes to every server.
//
// Each one verifies its answer: a server is not fast for answering something else.

const HEADERS = { "content-type": "application/json", "a2a-version": "1.0" };

/**
 * Calls to one server for one owner, or for whom a credential is; `paths` says where its echo and its conformance
 * agent answer.
 */
export function createCalls(client, { paths, owner, credential }) {
  const who = credential === undefined ? { "x-dev-owner": owner } : { authorization: `Bearer ${credential}` };
  const headers = { ...HEADERS, ...who };

  async function rpc(path, method, params) {
    let text = "";
    await client.post(path, headers, JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }), (chunk) => {
      text += chunk;
    });
    const { result, error } = JSON.parse(text);
    expect(error === undefined, `${method}: ${error?.message}`);
    return result;
  }

  /** A blocking SendMessage to echo, perhaps with a webhook; the answer must be the completed task with its artifact. */
  async function sendEcho(n, webhook) {
    const text = `hello ${n}`;
    const { task } = await rpc(paths.echo, "SendMessage", {
      message: message(text),
      configuration: withWebhook(webhook),
    });
    expect(task?.status?.state === "TASK_STATE_COMPLETED", `echo: ${task?.status?.state}`);
    expect(task.artifacts?.[0]?.parts?.[0]?.text === `echo: ${text}`, "echo: wrong artifact");
    return task.id;
  }

  /** SendMessage with `returnImmediately`; a task that takes `slowMs` must come back unfinished. */
  async function sendAndReturn(slowMs, webhook) {
    const { task } = await rpc(slowMs === 0 ? paths.echo : paths.conformance, "SendMessage", {
      message: message(slowMs === 0 ? "hello" : `slow:${slowMs}`),
      configuration: { returnImmediately: true, ...withWebhook(webhook) },
    });
    expect(task?.id !== undefined, "returnImmediately: no task");
    expect(slowMs === 0 || task.status.state !== "TASK_STATE_COMPLETED", "returnImmediately: waited");
    return task.id;
  }

  /**
   * A streamed task: its snapshot, then working, `chunks` artifact chunks and completed, all counted.
   * Resolves to the milliseconds until the first event.
   */
  async function stream(chunks, pauseMs) {
    const params = { message: message(`stream:${chunks}:${pauseMs}`) };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendStreamingMessage", params });
    const sentAt = performance.now();
    let firstMs;
    let rest = "";
    const seen = { task: 0, statusUpdate: 0, artifactUpdate: 0, last: "" };
    await client.post(paths.conformance, headers, body, (text) => {
      const frames = (rest + text).split("\n\n");
      rest = frames.pop();
      for (const frame of frames) {
        const data = frame.split("\n").find((line) => line.startsWith("data:"));
        if (data === undefined) continue; // a comment: the heartbeat
        firstMs ??= performance.now() - sentAt;
        const { result } = JSON.parse(data.slice(5));
        const [kind] = Object.keys(result);
        seen[kind]++;
        seen.last = result.statusUpdate?.status.state ?? kind;
      }
    });
    expect(seen.task === 1 && seen.statusUpdate === 2, `stream: ${JSON.stringify(seen)}`);
    expect(seen.artifactUpdate === chunks, `stream: ${seen.artifactUpdate} of ${chunks} chunks`);
    expect(seen.last === "TASK_STATE_COMPLETED", `stream: ended with ${seen.last}`);
    return firstMs;
  }

  async function getTask(id) {
    const task = await rpc(paths.echo, "GetTask", { id });
    expect(task?.id === id && task.status.state === "TASK_STATE_COMPLETED", "GetTask: wrong task");
  }

  /** The first page of the list; `total` tasks must be said to be stored. */
  async function listTasks(total) {
    const { tasks, totalSize } = await rpc(paths.echo, "ListTasks", {});
    expect(tasks.length === Math.min(50, total), `ListTasks: ${tasks.length} tasks`);
    expect(totalSize === total, `ListTasks: totalSize ${totalSize}, not ${total}`);
  }

  return { sendEcho, sendAndReturn, stream, getTask, listTasks };
}

function withWebhook(url) {
  return url === undefined ? undefined : { taskPushNotificationConfig: { url } };
}

function message(text) {
  return { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] };
}

function expect(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}
