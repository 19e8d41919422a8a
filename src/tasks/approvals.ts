// Who may answer a task that waits for approval of a tool, and what an answer decides.
//
// Both are read from the journal, where the question is the status before the message. So nothing else is stored, a turn
// that runs again finds the same decision, and a message that came before the question is none.

import { denied } from "../auth/authorize.ts";
import { err, ok, type Result } from "../lib/result.ts";
import { APPROVAL_SCOPE, type Approval, readDecision, toolAsked } from "../protocol/approvals.ts";
import { type Failure, failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import type { SendCommand } from "./commands.ts";
import type { Journal } from "./journal.ts";
import { type Entry, FIRST_ROW, type TaskRecord } from "./machine.ts";

/** What a follow-up decides about the tool that its task waits for; undefined: the task waits for none. */
export function decide(
  journal: Journal,
  record: TaskRecord,
  { message, mayApprove }: SendCommand,
): Result<Approval | undefined, Failure> {
  const waits = record.state === "TASK_STATE_AUTH_REQUIRED";
  const tool = waits ? toolAskedBefore(journal, record.id, record.seq + 1) : undefined;
  if (tool === undefined) return ok(undefined);
  if (!mayApprove) return err(denied(APPROVAL_SCOPE));
  const decision = readDecision(message, tool);
  if (!decision.ok) return err(failure("INVALID_PARAMS", { violations: [decision.error] }));
  return ok({ tool, approved: decision.value });
}

/** What a message in the journal has decided; undefined: nothing. */
export function approvalIn(journal: Journal, task: string, { seq, body }: Entry): Approval | undefined {
  const tool = seq === FIRST_ROW ? undefined : toolAskedBefore(journal, task, seq);
  const decision = tool === undefined ? undefined : readDecision(JSON.parse(body) as Message, tool);
  return tool !== undefined && decision?.ok ? { tool, approved: decision.value } : undefined;
}

function toolAskedBefore(journal: Journal, task: string, seq: number): string | undefined {
  const status = journal.statusBefore(task, seq);
  return status && toolAsked(status);
}
