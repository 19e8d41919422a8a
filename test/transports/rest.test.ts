// The HTTP+JSON binding on the wire (§11), through the front door.

import { describe, expect, it } from "vitest";
import { hello, newOwner, send } from "./front-door.ts";

const owner = newOwner();

function ask(
  method: string,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return send(path, {
    method,
    headers: { "x-dev-owner": owner, ...(body && { "content-type": "application/a2a+json" }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
}

type Task = { id: string; contextId: string; status: { state: string } };

async function create(text: string, path = "/conformance"): Promise<Task> {
  const message = { ...hello.message, parts: [{ text }] };
  const response = await ask("POST", `${path}/message:send`, { message });
  return (await response.json<{ task: Task }>()).task;
}

const framesOf = (text: string) =>
  text
    .trimEnd()
    .split("\n\n")
    .filter((frame) => !frame.startsWith(":"));

describe("a call", () => {
  it("is answered with the bare result", async () => {
    const response = await ask("POST", "/message:send", hello);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/a2a+json");
    expect(await response.json()).toMatchObject({ task: { status: { state: "TASK_STATE_COMPLETED" } } });
  });

  it("reaches the same tasks under the agent's path and at the root of its tenant", async () => {
    const { id } = await create("hello");
    for (const path of [`/conformance/tasks/${id}`, `/tasks/${id}?tenant=conformance`]) {
      expect(await (await ask("GET", path)).json()).toMatchObject({ id });
    }
    expect((await ask("GET", `/tasks/${id}`)).status).toBe(404);
  });

  it("reads both spellings of a query (§11.5)", async () => {
    const { id, contextId } = await create("hello");
    for (const query of [
      `contextId=${contextId}&pageSize=1&includeArtifacts=true`,
      `context_id=${contextId}&page_size=1&include_artifacts=true`,
    ]) {
      const response = await ask("GET", `/conformance/tasks?${query}&status=TASK_STATE_COMPLETED`);
      expect(await response.json()).toMatchObject({
        totalSize: 1,
        pageSize: 1,
        tasks: [{ id, artifacts: [{}] }],
      });
    }
    expect(await (await ask("GET", `/conformance/tasks/${id}?history_length=0`)).json()).not.toHaveProperty(
      "history",
    );
  });

  it.each([
    ["no body and no type", undefined, {}],
    ["no body and a JSON type", undefined, { "content-type": "application/json" }],
    ["an empty object", {}, {}],
    ["metadata", { metadata: { reason: "enough" } }, {}],
  ])("cancels with %s", async (_, body, headers) => {
    const { id } = await create("input");
    const response = await ask(
      "POST",
      `/conformance/tasks/${id}:cancel`,
      body,
      headers as Record<string, string>,
    );
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ id, status: { state: "TASK_STATE_CANCELED" } });
  });

  it("cancels a task whose body repeats its id", async () => {
    const { id } = await create("input");
    const response = await ask("POST", `/conformance/tasks/${id}:cancel`, { id, tenant: "conformance" });
    expect(response.status).toBe(200);
  });
});

describe("a stream (§11.7)", () => {
  it("holds bare events", async () => {
    const response = await ask("POST", "/message:stream", hello, { accept: "text/event-stream" });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const events = framesOf(await response.text()).map((frame) =>
      JSON.parse(frame.slice(frame.indexOf("data: ") + 6)),
    );
    expect(events[0]).toHaveProperty("task.id");
    expect(events.at(-1)).toHaveProperty("statusUpdate.status.state", "TASK_STATE_COMPLETED");
  });

  it.each([
    ["GET", {}],
    ["POST", {}],
    ["POST", { "content-type": "application/json" }],
  ])("is opened by %s with %j", async (method, headers) => {
    const { id } = await create("input");
    const path = `/conformance/tasks/${id}:subscribe`;
    const response = await ask(method, path, undefined, headers as Record<string, string>);
    const reader = response.body?.getReader();
    const first = new TextDecoder().decode((await reader?.read())?.value);
    expect(first).toMatch(/^id: \d+\ndata: \{"task":\{/);
    expect(first).toContain(id);
    await reader?.cancel();
  });

  it("says that it is open before there is anything to say", async () => {
    const { id } = await create("input");
    const path = `/conformance/tasks/${id}:subscribe`;
    const snapshot = await (await ask("GET", path)).body?.getReader().read();
    const seen = /^id: (\d+)/.exec(new TextDecoder().decode(snapshot?.value))?.[1] ?? "";
    const response = await ask("GET", path, undefined, { "last-event-id": seen });
    const reader = response.body?.getReader();
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(":\n\n");
    await reader?.cancel();
  });
});
