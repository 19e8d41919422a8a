// The body of a notification in the dialect of its subscriber: of 1.0 the journal's row as it stands, of older versions
// the task as it was then: so 0.3 §9.5 has it, and so servers of those times sent it.
//
// Made for each attempt, from what never changes: so an attempt has the same bytes as the one before it.

import type { EventName } from "../protocol/push-options.ts";
import type { Task } from "../protocol/task.ts";
import { toOldestTask } from "../protocol/v0_1/task.ts";
import { toLegacyTask } from "../protocol/v0_3/task.ts";
import type { Version } from "../protocol/version.ts";

/**
 * A longer task, in UTF-16 units, comes without its artifacts, and if that is not enough without the message of its
 * status: a reader asks for them. In an older dialect a message of many parts may take twice what it takes in ours.
 */
const MAX_TASK_UNITS = 2_000_000;

/** The body that tells of an event; `taskThen` gives the task as the event left it. */
export function toPayload(version: Version, event: string, taskThen: () => Task): string {
  switch (version) {
    case "1.0":
      return event;
    case "0.3":
      return toTaskPayload(taskThen(), toLegacyTask);
    case "0.1":
      return toTaskPayload(taskThen(), toOldestTask);
  }
}

function toTaskPayload(task: Task, translate: (task: Task) => unknown): string {
  const { artifacts: _artifacts, ...rest } = task;
  const { message: _message, ...status } = task.status;
  for (const whole of [task, rest]) {
    const payload = JSON.stringify(translate(whole));
    if (payload.length <= MAX_TASK_UNITS) return payload;
  }
  return JSON.stringify(translate({ ...rest, status }));
}

/** The media type of one payload. */
export function contentTypeOf(version: Version): string {
  return version === "1.0" ? "application/a2a+json" : "application/json";
}

/** What a config hears of that does not say it. A whole task for every chunk of it would be too much. */
export function defaultEvents(version: Version): EventName[] | null {
  return version === "1.0" ? null : ["statusChanged"];
}
