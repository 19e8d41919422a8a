// Which events of a task a config wants, and what each is called. Applied where a lane looks for its next
// notification, so that a filter leaves no holes in the sequence numbers that a receiver sees.

import type { EventName } from "../protocol/push-options.ts";
import type { TaskState } from "../protocol/state.ts";

/** What a filter needs to know of a row of the journal. */
export type FilteredEvent = { kind: "status"; state: TaskState } | { kind: "artifact" };

const names: Record<TaskState, EventName> = {
  TASK_STATE_SUBMITTED: "statusChanged",
  TASK_STATE_WORKING: "statusChanged",
  TASK_STATE_COMPLETED: "completed",
  TASK_STATE_FAILED: "failed",
  TASK_STATE_CANCELED: "canceled",
  TASK_STATE_REJECTED: "rejected",
  TASK_STATE_INPUT_REQUIRED: "inputRequired",
  TASK_STATE_AUTH_REQUIRED: "authRequired",
};

/** The most telling name of an event; `statusChanged` for states that have none of their own. */
export function eventName(event: FilteredEvent): EventName {
  return event.kind === "artifact" ? "artifactAdded" : names[event.state];
}

/** Whether a config with these events wants this one. Without a filter it wants all, with `statusChanged` every status. */
export function matches(events: readonly EventName[] | undefined, event: FilteredEvent): boolean {
  if (!events) return true;
  return events.includes(eventName(event)) || (event.kind === "status" && events.includes("statusChanged"));
}
