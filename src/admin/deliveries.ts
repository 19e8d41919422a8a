// The history of attempts: searched by whatever an operator knows, and all that became of one notification.

import { type AttemptRow, attemptsOf, searchAttempts } from "../store/attempts.ts";
import { findDeadLetter } from "../store/dead-letters.ts";
import { checkConfig, toDeadLetter } from "./dead-letters.ts";
import { notFound } from "./deps.ts";
import { choice, integer, text, time } from "./fields.ts";
import { type Delivery, DeliveryList, Notification } from "./history-answers.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { ERROR_CLASSES, OUTCOMES, toTime } from "./schemas.ts";

export const deliveryRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/deliveries",
    summary: "Search the attempts to deliver notifications, newest first",
    description:
      "Filters may be combined at will. What two of them together select may be rare: then a page holds fewer " +
      "rows than were asked for, or none, and `nextPageToken` says that there is more to search.",
    fields: {
      owner: text("Of this owner."),
      origin: text("To this origin, such as `https://hooks.example.com`."),
      task: text("About this task."),
      config: text("Of this config of the task; needs `task`."),
      outcome: choice("With this outcome; `failed` is every one but delivered.", [...OUTCOMES, "failed"]),
      status: integer("Answered with this HTTP status.", { min: 100, max: 999 }),
      error: choice("Not answered, for this reason.", ERROR_CLASSES),
      from: time("Started at this time or later."),
      to: time("Started before this time."),
      ...pageFields,
    },
    answer: DeliveryList,
    async handle({ db }, { values }) {
      checkConfig(values);
      const { rows, nextPageToken } = await readPage(
        { list: "deliveries", place: ["number", "number"], values },
        (filter, page) => searchAttempts(db, filter, page),
      );
      return { deliveries: rows.map(toDelivery), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: "/admin/v1/notifications/{id}",
    summary: "See all attempts to deliver one notification, the first one first",
    description:
      "The id is its `webhook-id`, or its `id` in the body of a batch, whose own `webhook-id` is not found here. " +
      "Attempts come here some seconds after they were made.",
    fields: {},
    answer: Notification,
    async handle({ db }, { path: { id = "" } }) {
      const [attempts, letter] = await Promise.all([attemptsOf(db, id), findDeadLetter(db, id)]);
      if (attempts.length === 0 && !letter) throw notFound("notification");
      return {
        id,
        attempts: attempts.map((attempt) => ({ ...toDelivery(attempt), response: attempt.response })),
        deadLetter: letter ? toDeadLetter(letter) : null,
      };
    },
  }),
];

export function toDelivery(row: Omit<AttemptRow, "n" | "response">): Delivery {
  const { home, owner, agent, task, config, origin, target } = row;
  const { notification, sequence, attempt, outcome, status, error, durationMs } = row;
  return {
    notification,
    sequence,
    attempt,
    outcome: outcome as Delivery["outcome"],
    status,
    error,
    durationMs,
    committedAt: toTime(row.committedAt),
    plannedAt: toTime(row.plannedAt),
    startedAt: toTime(row.startedAt),
    ...{ home, owner, agent, task, config, origin, target },
  };
}
