// What our `echo` and `conformance` agents do, written for the SDK: the same events for the same text.
//
// `stream:N:MS` works, sends N chunks and completes; `slow:MS` works for that long and echoes; anything
// else is echoed. An SDK executor must publish the task first, as our home does by itself.

import { setTimeout as delay } from "node:timers/promises";
import { Task, TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "@a2a-js/sdk";
import { AgentEvent } from "@a2a-js/sdk/server";

/** @returns {import("@a2a-js/sdk/server").AgentExecutor} */
export function createAgent() {
  return {
    async execute(context, bus) {
      const message = context.userMessage;
      const text = message.parts.map((part) => part.content?.value ?? "").join("");
      const ids = { taskId: context.taskId, contextId: context.contextId };
      const status = (state) => ({ state, timestamp: new Date().toISOString() });

      function publishStatus(state) {
        bus.publish(
          AgentEvent.statusUpdate(TaskStatusUpdateEvent.fromJSON({ ...ids, status: status(state) })),
        );
      }
      function publishArtifact(name, partText, chunk = {}) {
        const artifact = { artifactId: `${name}-1`, name, parts: [{ text: partText }] };
        bus.publish(
          AgentEvent.artifactUpdate(TaskArtifactUpdateEvent.fromJSON({ ...ids, artifact, ...chunk })),
        );
      }

      const submitted = Task.fromJSON({
        id: ids.taskId,
        contextId: ids.contextId,
        status: status("TASK_STATE_SUBMITTED"),
      });
      bus.publish(AgentEvent.task({ ...submitted, history: [message] }));

      const [kind, first, second] = text.split(":");
      if (kind === "stream") {
        const chunks = Number(first);
        publishStatus("TASK_STATE_WORKING");
        for (let n = 1; n <= chunks; n++) {
          if (Number(second) > 0) await delay(Number(second));
          publishArtifact("stream", `chunk-${n} `, { append: n > 1, lastChunk: n === chunks });
        }
      } else {
        if (kind === "slow") {
          publishStatus("TASK_STATE_WORKING");
          await delay(Number(first));
        }
        publishArtifact("echo", `echo: ${text}`);
      }
      publishStatus("TASK_STATE_COMPLETED");
    },

    async cancelTask() {
      throw new Error("the benchmark cancels nothing");
    },
  };
}

/** A completed echo task as `execute` leaves it behind, for filling a store without sending messages. */
export function createFinishedTask(n, timestamp) {
  const ids = { taskId: crypto.randomUUID(), contextId: crypto.randomUUID() };
  const text = `fill ${n}`;
  return Task.fromJSON({
    id: ids.taskId,
    contextId: ids.contextId,
    status: { state: "TASK_STATE_COMPLETED", timestamp: new Date(timestamp).toISOString() },
    artifacts: [{ artifactId: "echo-1", name: "echo", parts: [{ text: `echo: ${text}` }] }],
    history: [{ ...ids, messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] }],
  });
}
