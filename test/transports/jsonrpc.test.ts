// The JSON-RPC binding on the wire (§9), through the front door.

import { describe, expect, it } from "vitest";
import { hello, newOwner, send } from "./front-door.ts";

const owner = newOwner();

function post(request: object, path = "/", headers: Record<string, string> = {}): Promise<Response> {
  return send(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-dev-owner": owner, ...headers },
    body: JSON.stringify(request),
  });
}

const request = (method: string, params?: object, id: unknown = 1) => ({
  jsonrpc: "2.0",
  id,
  method,
  params,
});

type Sent = { result: { task: { id: string; status: { state: string } } } };

const saying = (text: string) => ({ message: { ...hello.message, parts: [{ text }] } });

describe("a request", () => {
  it.each(["/", "/echo", "/echo/", "/?A2A-Version=1.0"])("is served at %s", async (path) => {
    const response = await post(request("SendMessage", hello), path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("a2a-version")).toBe("1.0");
    expect(await response.json()).toMatchObject({
      result: { task: { status: { state: "TASK_STATE_COMPLETED" } } },
    });
  });

  it.each([0, -1, 9007199254740991, "", "0", "null", 'ü\u{1F600}\n"', "x".repeat(5_000), null])(
    "gets its id %j back, with a result and with an error",
    async (id) => {
      const answer = await (await post(request("ListTasks", {}, id))).json<object>();
      expect(answer).toMatchObject({ jsonrpc: "2.0", id });
      expect(Object.keys(answer).toSorted()).toEqual(["id", "jsonrpc", "result"]);
      const refusal = await (await post(request("GetTask", {}, id))).json<object>();
      expect(refusal).toMatchObject({ jsonrpc: "2.0", id });
      expect(Object.keys(refusal).toSorted()).toEqual(["error", "id", "jsonrpc"]);
    },
  );

  it("without id is answered under the id null", async () => {
    const response = await post({ jsonrpc: "2.0", method: "ListTasks" });
    expect(await response.json()).toMatchObject({ id: null, result: { tasks: expect.any(Array) } });
  });

  it("may spell its params as the proto does (§5.5)", async () => {
    const message = { message_id: "m", role: "ROLE_USER", parts: [{ text: "x", media_type: "text/plain" }] };
    const response = await post(request("SendMessage", { message, configuration: { history_length: "0" } }));
    const { result } = await response.json<Sent>();
    expect(result.task).toMatchObject({ status: { state: "TASK_STATE_COMPLETED" } });
    expect(result.task).not.toHaveProperty("history");
  });

  it("ignores members that it does not know (§5.7)", async () => {
    const response = await post({ ...request("ListTasks", { future: { a: 1 } }), trace: "x" });
    expect(await response.json()).toHaveProperty("result");
  });
});

describe("a stream (§9.4.2)", () => {
  it("is one frame an event, each with its id and the whole envelope", async () => {
    const response = await post(request("SendStreamingMessage", hello, "s-1"), "/", {
      accept: "text/event-stream",
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const frames = (await response.text())
      .trimEnd()
      .split("\n\n")
      .filter((frame) => !frame.startsWith(":"));
    const ids = frames.map((frame) => Number(/^id: (\d+)\n/.exec(frame)?.[1]));
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    expect(new Set(ids).size).toBe(ids.length);
    const events = frames.map((frame) => JSON.parse(frame.slice(frame.indexOf("\ndata: ") + 7)));
    for (const event of events) expect(event).toMatchObject({ jsonrpc: "2.0", id: "s-1" });
    expect(events[0]).toHaveProperty("result.task");
    expect(events.at(-1)).toHaveProperty("result.statusUpdate.status.state", "TASK_STATE_COMPLETED");
  });

  it("that was cut is taken up after Last-Event-ID, though its task has ended", async () => {
    const text = await (
      await post(request("SendStreamingMessage", saying("stream:3:0")), "/conformance")
    ).text();
    const frames = text
      .trimEnd()
      .split("\n\n")
      .filter((frame) => !frame.startsWith(":"));
    const id = /"id":"(0-[^"]+)"/.exec(text)?.[1];
    const seen = /^id: (\d+)/.exec(frames[1] ?? "")?.[1] ?? "";
    const resumed = await post(request("SubscribeToTask", { id }), "/conformance", { "last-event-id": seen });
    const rest = (await resumed.text())
      .trimEnd()
      .split("\n\n")
      .filter((frame) => !frame.startsWith(":"));
    expect(rest).toEqual(frames.slice(2));
  });

  it("that is left does not stop its task", async () => {
    const response = await post(request("SendStreamingMessage", saying("slow:200")), "/conformance");
    const reader = response.body?.getReader();
    const first = new TextDecoder().decode((await reader?.read())?.value);
    await reader?.cancel();
    const id = /"id":"(0-[^"]+)"/.exec(first)?.[1];
    await expect
      .poll(async () => (await post(request("GetTask", { id }), "/conformance")).json(), { timeout: 5_000 })
      .toMatchObject({ result: { status: { state: "TASK_STATE_COMPLETED" } } });
  });
});

describe("Idempotency-Key", () => {
  it("gives the same task for the same request, and refuses another request", async () => {
    const key = { "idempotency-key": "key-1" };
    const answers = [];
    for (let i = 0; i < 2; i++)
      answers.push(await (await post(request("SendMessage", hello), "/", key)).json<Sent>());
    expect(answers[1]?.result.task.id).toBe(answers[0]?.result.task.id);
    const other = await post(request("SendMessage", saying("other")), "/", key);
    expect(await other.json()).toHaveProperty("error.code", -32602);
  });
});
