// What a caller is allowed: each operation asks for the scope that the table names, before anything else.

import { describe, expect, it } from "vitest";
import type { Deps } from "../../src/operations/index.ts";
import { type OperationName, operations, type Scope } from "../../src/protocol/operations.ts";
import { toMessage } from "../support/client.ts";
import { createOperations } from "../support/operations.ts";

const SCOPES: Scope[] = ["task:read", "task:write", "push:read", "push:write", "card:read"];

const params = {
  SendMessage: { message: toMessage("hello") },
  SendStreamingMessage: { message: toMessage("hello") },
  GetTask: { id: "0-x" },
  ListTasks: {},
  CancelTask: { id: "0-x" },
  SubscribeToTask: { id: "0-x" },
  CreateTaskPushNotificationConfig: { taskId: "0-x", url: "https://example.com/hook" },
  GetTaskPushNotificationConfig: { taskId: "0-x", id: "c" },
  ListTaskPushNotificationConfigs: { taskId: "0-x" },
  DeleteTaskPushNotificationConfig: { taskId: "0-x", id: "c" },
  GetExtendedAgentCard: {},
} satisfies Record<OperationName, object>;

const names = Object.keys(params) as OperationName[];

/** Homes that no call may reach. */
const unreachable = new Proxy({} as Deps["homes"], {
  get: () => () => {
    throw new Error("a home was touched");
  },
});

describe.each(names)("%s", (name) => {
  const { scope } = operations[name];

  it("is refused to a caller without its scope, who learns which it is, and touches no home", async () => {
    const others = SCOPES.filter((other) => other !== scope);
    for (const scopes of [new Set<Scope>(), new Set(others)]) {
      const on = createOperations({ homes: unreachable });
      const failure = await on.failure(name, params[name], {
        caller: { owner: on.owner, actor: on.owner, scopes, adminScopes: new Set() },
      });
      expect(failure).toMatchObject({ reason: "PERMISSION_DENIED", metadata: { scope } });
    }
  });

  it("is open to a caller with its scope alone, and to one with all", async () => {
    for (const scopes of [new Set([scope]), "all" as const]) {
      const on = createOperations({ agent: "enterprise" });
      const outcome = await on
        .run(name, params[name], {
          caller: { owner: on.owner, actor: on.owner, scopes, adminScopes: new Set() },
        })
        .then(
          async (answer) => {
            if (answer.kind === "stream") await new Response(answer.lines).text();
            return "answered";
          },
          (error: { failure?: { reason: string } }) => error.failure?.reason,
        );
      expect(["answered", "TASK_NOT_FOUND", "PUSH_NOTIFICATION_NOT_SUPPORTED"]).toContain(outcome);
    }
  });
});
