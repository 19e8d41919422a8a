// Which events pass which filter, and what they are called.

import { describe, expect, it } from "vitest";
import { eventName, type FilteredEvent, matches } from "../../src/delivery/event-filter.ts";
import { EVENT_NAMES, type EventName } from "../../src/protocol/push-options.ts";
import { TaskState } from "../../src/protocol/state.ts";

const status = (state: TaskState): FilteredEvent => ({ kind: "status", state });
const artifact: FilteredEvent = { kind: "artifact" };
const states = Object.keys(TaskState.numbers) as TaskState[];
const all = [...states.map(status), artifact];

const named: [EventName, FilteredEvent[]][] = [
  ["completed", [status("TASK_STATE_COMPLETED")]],
  ["failed", [status("TASK_STATE_FAILED")]],
  ["canceled", [status("TASK_STATE_CANCELED")]],
  ["rejected", [status("TASK_STATE_REJECTED")]],
  ["inputRequired", [status("TASK_STATE_INPUT_REQUIRED")]],
  ["authRequired", [status("TASK_STATE_AUTH_REQUIRED")]],
  ["artifactAdded", [artifact]],
  ["statusChanged", states.map(status)],
];

describe("a filter", () => {
  it("that is absent lets every event through", () => {
    for (const event of all) expect(matches(undefined, event)).toBe(true);
  });

  it("that is empty lets none through", () => {
    for (const event of all) expect(matches([], event)).toBe(false);
  });

  it.each(named)("of %s lets through what it names and nothing else", (name, events) => {
    expect(all.filter((event) => matches([name], event))).toEqual(events);
  });

  it("of several names lets through what any of them names", () => {
    const events = all.filter((event) => matches(["failed", "artifactAdded"], event));
    expect(events).toEqual([status("TASK_STATE_FAILED"), artifact]);
  });

  it("is tested with every name there is", () => {
    expect(named.map(([name]) => name).toSorted()).toEqual(EVENT_NAMES.toSorted());
  });
});

describe("the name of an event", () => {
  it.each(named.slice(0, -1))("is %s for what only that name lets through", (name, events) => {
    for (const event of events) expect(eventName(event)).toBe(name);
  });

  it.each(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"] as const)("is statusChanged for %s", (state) => {
    expect(eventName(status(state))).toBe("statusChanged");
  });

  it("is one that a filter may hold, which lets the event through", () => {
    for (const event of all) expect(matches([eventName(event)], event)).toBe(true);
  });
});
