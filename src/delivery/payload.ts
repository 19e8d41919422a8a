// The body of a notification in the dialect of its subscriber: of 1.0 the journal's row as it stands, of 0.3 the same
// event by its `kind`, of 0.1 the task as it was then, which is what servers of that time sent.
//
// Made for each attempt, from what never changes: so an attempt has the same bytes as the one before it.

import type { StreamResponse } from "../protocol/events.ts";
import type { EventName } from "../protocol/push-options.ts";
import type { Task } from "../protocol/task.ts";
import { toOldestTask } from "../protocol/v0_1/task.ts";
import { toLegacyEvent } from "../protocol/v0_3/events.ts";
import type { Version } from "../protocol/version.ts";

/** A longer task, in UTF-16 units, comes without its artifacts, whose reader asks for them. */
const MAX_TASK_UNITS = 2_000_000;

/** The body that tells of an event; `taskThen` gives the task as the event left it. */
export function toPayload(version: Version, event: string, taskThen: () => Task): string {
  switch (version) {
    case "1.0":
      return event;
    case "0.3":
      return JSON.stringify(toLegacyEvent(JSON.parse(event) as StreamResponse));
    case "0.1":
      return toTaskPayload(taskThen());
  }
}

function toTaskPayload(task: Task): string {
  const whole = JSON.stringify(toOldestTask(task));
  if (whole.length <= MAX_TASK_UNITS) return whole;
  const { artifacts: _, ...rest } = task;
  return JSON.stringify(toOldestTask(rest));
}

/** The media type of one payload. */
export function contentTypeOf(version: Version): string {
  return version === "1.0" ? "application/a2a+json" : "application/json";
}

/** What a config hears of that does not say it: 0.1 told of a task when its status changed, and not of every chunk. */
export function defaultEvents(version: Version): EventName[] | null {
  return version === "0.1" ? ["statusChanged"] : null;
}
