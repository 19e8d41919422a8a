// Approvals, the extension of docs/extensions/approvals.md: an agent asks whether it may use a tool, and who has the
// scope tool:approve decides.
//
// The question stands in the metadata of the status message, where clients of every version see it, so the stored task
// says itself what it waits for. The decision is a message of the task, and is read strictly: what may mean yes, and
// may not, means nothing.

import { err, ok, type Result } from "../lib/result.ts";
import type { FieldViolation } from "./errors.ts";
import type { Message } from "./message.ts";
import type { Scope } from "./operations.ts";
import type { TaskStatus } from "./task.ts";
import { isObject, mustBe } from "./violations.ts";

export const APPROVALS_EXTENSION = "https://a2a-edge.dev/extensions/approvals/v1";

/** What deciding needs, beyond what sending a message does. */
export const APPROVAL_SCOPE = "tool:approve" satisfies Scope;

/** What was decided about a tool. */
export type Approval = { tool: string; approved: boolean };

const TOOL_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

/** Whether a tool may be called so: its name is written to the audit, which holds nothing long and nothing said. */
export function isToolName(name: string): boolean {
  return TOOL_NAME.test(name);
}

/** What makes a message of the agent the question whether it may use a tool. */
export function toQuestion(tool: string): Required<Pick<Message, "extensions" | "metadata">> {
  return {
    extensions: [APPROVALS_EXTENSION],
    metadata: { [APPROVALS_EXTENSION]: { tool, scope: APPROVAL_SCOPE } },
  };
}

/** The tool that a status asks about; undefined: it does not ask for approval. */
export function toolAsked({ state, message }: Pick<TaskStatus, "state" | "message">): string | undefined {
  if (state !== "TASK_STATE_AUTH_REQUIRED") return undefined;
  const question = message?.metadata?.[APPROVALS_EXTENSION] as { tool: string } | undefined;
  return question?.tool;
}

const words = new Map([
  ["approve", true],
  ["deny", false],
]);

/** Whether a message approves of the tool that was asked about: the one decision among its parts. */
export function readDecision({ parts }: Message, tool: string): Result<boolean, FieldViolation> {
  const decisions: boolean[] = [];
  for (const [index, { data, text }] of parts.entries()) {
    const word = words.get(text?.trim().toLowerCase() ?? "");
    if (word !== undefined) decisions.push(word);
    if (!isObject(data) || !Object.hasOwn(data, "approved")) continue;
    const field = `message.parts[${index}].data`;
    const { approved } = data;
    if (typeof approved !== "boolean") {
      return err({ field: `${field}.approved`, description: mustBe("a boolean", approved) });
    }
    // Whoever names it is safe from deciding about the next question instead of the one they have read.
    if (Object.hasOwn(data, "tool") && data.tool !== tool) {
      return err({ field: `${field}.tool`, description: "is not the tool that the task asks about" });
    }
    decisions.push(approved);
  }
  const [decision] = decisions;
  if (decision !== undefined && decisions.length === 1) return ok(decision);
  const description =
    'must hold one decision: the data {"approved": true} or {"approved": false}, or the text approve or deny';
  return err({ field: "message.parts", description });
}
