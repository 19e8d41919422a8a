// Which events a config has asked for in the course of its life, so that a notification keeps its number: a filter
// leaves no holes in the sequence, so a number says nothing without the filters up to it.

import type { EventName } from "../protocol/push-options.ts";
import type { Journal } from "./journal.ts";
import type { Lane, Notification } from "./lanes.ts";
import type { PushConfig } from "./push-configs.ts";
import { upcoming } from "./upcoming.ts";

/** A filter, the journal row after which it applies, and the number of the notification before. */
export type Filter = { events: readonly EventName[] | null; after: number; sequence: number };

type Filtered = Pick<PushConfig, "events" | "filters">;

/** The filters of a config that asks for `events` from now on; what is idle hears of rows after `after`. */
export function changeFilter(
  config: Filtered,
  lane: Lane,
  events: PushConfig["events"],
  after: number,
): readonly Filter[] {
  if (JSON.stringify(config.events) === JSON.stringify(events)) return config.filters;
  const before = filtersOf(config, lane);
  // One that nothing was numbered under is forgotten.
  const used = before.filter(({ sequence }, i) => sequence < (before[i + 1]?.sequence ?? lane.sequence));
  return [...used, { events, after: lane.pending ? lane.head - 1 : after, sequence: lane.sequence }];
}

/** The notifications of a config that have come to an end, with the numbers they had. */
export function* settled(journal: Journal, config: Filtered, main: Lane): Generator<Notification> {
  const filters = filtersOf(config, main);
  for (const [i, { events, after, sequence }] of filters.entries()) {
    const last = filters[i + 1]?.sequence ?? main.sequence;
    for (const notification of upcoming(journal, main, events, after, sequence)) {
      if (notification[1] > last) break;
      yield notification;
    }
  }
}

function filtersOf({ events, filters }: Filtered, { start }: Lane): readonly Filter[] {
  return filters.length > 0 ? filters : [{ events, after: start, sequence: 0 }];
}
