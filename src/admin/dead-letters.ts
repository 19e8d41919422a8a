// Dead letters: notifications that were given up, for somebody to look at, retry or discard.
//
// A retry marks the letter before it asks the home, so that nobody can discard it on its way, and takes the mark back if
// the home does not take the letter. Whoever dies in between leaves a letter that is retrying and is not sent; that is
// why a letter may also be retried while it is retrying.

import type { Operator } from "../auth/operator.ts";
import { orThrow } from "../operations/or-throw.ts";
import { A2AError } from "../protocol/errors.ts";
import {
  type DeadLetterState,
  type FiledLetter,
  findDeadLetter,
  type ListedLetter,
  markDeadLetters,
  searchDeadLetters,
} from "../store/dead-letters.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { choice, integer, invalid, text, time } from "./fields.ts";
import { type DeadLetter, DeadLetterList, DeadLetterWithBody } from "./history-answers.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { ERROR_CLASSES, toTime } from "./schemas.ts";

const ONE = "/admin/v1/dead-letters/{id}";

/** By which letters are found, also those that a job retries. */
export const letterFields = {
  owner: text("Of this owner."),
  origin: text("To this origin, such as `https://hooks.example.com`."),
  task: text("About this task."),
  config: text("Of this config of the task; needs `task`."),
  error: choice("Whose last attempt was not answered, for this reason.", ERROR_CLASSES),
  status: integer("Whose last attempt was answered with this HTTP status.", { min: 100, max: 999 }),
  from: time("That died at this time or later."),
  to: time("That died before this time."),
};

export const deadLetterRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/dead-letters",
    summary: "List dead letters, the last to die first",
    description:
      "Filters may be combined at will. A page may hold fewer rows than were asked for, or none, while " +
      "`nextPageToken` says that there is more to search.",
    fields: {
      state: choice("In this state.", ["dead", "retrying", "delivered", "discarded"]),
      ...letterFields,
      ...pageFields,
    },
    answer: DeadLetterList,
    async handle({ db }, { values }) {
      checkConfig(values);
      const { rows, nextPageToken } = await readPage(
        { list: "dead-letters", place: ["number", "string"], values },
        (filter, page) => searchDeadLetters(db, filter, page),
      );
      return { deadLetters: rows.map(toDeadLetter), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: ONE,
    summary: "Get a dead letter with its payload",
    fields: {},
    answer: DeadLetterWithBody,
    handle: async (deps, { path }) => withBody(await find(deps, path)),
  }),
  route({
    verb: "POST",
    path: `${ONE}:retry`,
    summary: "Give a notification another life, with all the attempts of its schedule",
    description: "It keeps its `webhook-id`. It becomes `delivered`, or `dead` again with a new reason.",
    fields: {},
    status: 202,
    answer: DeadLetterWithBody,
    handle: (deps, { path, operator }) => retry(deps, path, operator),
  }),
  route({
    verb: "POST",
    path: `${ONE}:discard`,
    summary: "Put a dead letter aside: it is not retried, and stays in the list until its time is over",
    fields: {},
    answer: DeadLetterWithBody,
    async handle(deps, { path }) {
      const found = await find(deps, path);
      await markDeadLetters(deps.db, [found], { from: ["dead"], to: "discarded", now: deps.now() });
      const letter = await find(deps, path);
      if (letter.state !== "discarded") throw isOver(letter);
      return withBody(letter);
    },
  }),
];

/** An id that a caller chose may be the same in a thousand tasks. */
export function checkConfig({
  config,
  task,
}: {
  config?: string | undefined;
  task?: string | undefined;
}): void {
  if (config !== undefined && task === undefined)
    throw invalid("config", "needs `task`: its id belongs to its task");
}

async function find({ db }: AdminDeps, { id = "" }: Readonly<Record<string, string>>): Promise<FiledLetter> {
  const letter = await findDeadLetter(db, id);
  if (!letter) throw notFound("dead letter");
  return letter;
}

async function retry(
  deps: AdminDeps,
  path: Readonly<Record<string, string>>,
  { actor }: Operator,
): Promise<ReturnType<typeof withBody>> {
  const letter = await find(deps, path);
  if (letter.state !== "dead" && letter.state !== "retrying") throw isOver(letter);
  const mark = (from: DeadLetterState, to: DeadLetterState) =>
    markDeadLetters(deps.db, [letter], { from: [from], to, now: deps.now() });
  if (letter.state === "dead" && (await mark("dead", "retrying")) === 0) {
    const changed = await find(deps, path);
    if (changed.state !== "retrying") throw isOver(changed);
    return withBody(changed);
  }
  try {
    await giveBack(deps, letter, actor);
  } catch (error) {
    // One that was retrying before may be under way.
    if (letter.state === "dead") await mark("retrying", "dead");
    throw error;
  }
  return withBody(await find(deps, path));
}

/** Gives a letter to its home; throws if that does not take it. */
async function giveBack(deps: AdminDeps, letter: FiledLetter, actor: string): Promise<void> {
  const { owner, task, config, seq, sequence } = letter;
  const home = deps.homeAt(letter.home);
  const { gone } = orThrow(await home.retryDead([{ task, config, seq, sequence }], { owner, actor }));
  if (gone.length > 0) {
    const message = "This notification cannot be retried: its config or its task exists no more.";
    throw new A2AError("UNSUPPORTED_OPERATION", { message });
  }
}

function isOver({ state }: FiledLetter): A2AError {
  return new A2AError("UNSUPPORTED_OPERATION", {
    message: `This is not possible: the letter is ${state}.`,
    metadata: { state },
  });
}

function withBody(letter: FiledLetter) {
  return { ...toDeadLetter(letter), body: letter.body };
}

export function toDeadLetter(letter: ListedLetter): DeadLetter {
  const { id, home, owner, agent, task, config, origin, target } = letter;
  const { sequence, state, reason, error, status, attempts } = letter;
  return {
    ...{ id, home, owner, agent, task, config, origin, target },
    ...{ sequence, state, stateAt: toTime(letter.stateAt), reason, error, status, attempts },
    committedAt: toTime(letter.committedAt),
    diedAt: toTime(letter.diedAt),
  };
}
