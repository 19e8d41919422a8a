// Which notifications a lane has before it: rows of its task's journal, read through the config's filter, or what
// is left of the list of a lane that sends again.

import { eventName, matches } from "../delivery/event-filter.ts";
import type { TaskStatusUpdateEvent } from "../protocol/events.ts";
import type { EventName } from "../protocol/push-options.ts";
import type { Journal } from "./journal.ts";
import type { Lane, Notification } from "./lanes.ts";
import type { Entry } from "./machine.ts";

/** The notifications of a lane after journal row `after`, numbered on from `sequence`. */
export function* upcoming(
  journal: Journal,
  lane: Pick<Lane, "task" | "list">,
  events: readonly EventName[] | null,
  after: number,
  sequence: number,
): Generator<Notification> {
  if (lane.list) {
    for (const notification of lane.list) if (notification[0] > after) yield notification;
    return;
  }
  let number = sequence;
  for (const entry of journal.events(lane.task, after)) {
    if (wants(events, entry)) yield [entry.seq, ++number];
  }
}

/** Whether a config with this filter hears of a row of the journal. */
export function wants(events: readonly EventName[] | null, entry: Entry): boolean {
  if (entry.kind === "artifact") return matches(events ?? undefined, { kind: "artifact" });
  return entry.kind === "status" && matches(events ?? undefined, { kind: "status", state: stateOf(entry) });
}

/** The name of the event in a row of the journal. */
export function nameOf(entry: Entry): EventName {
  return eventName(
    entry.kind === "artifact" ? { kind: "artifact" } : { kind: "status", state: stateOf(entry) },
  );
}

function stateOf(entry: Entry) {
  const { statusUpdate } = JSON.parse(entry.body) as { statusUpdate: TaskStatusUpdateEvent };
  return statusUpdate.status.state;
}
