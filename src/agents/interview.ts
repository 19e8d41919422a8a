// A conversation over several messages. Each turn takes one answer and ends with the next question, so
// nothing runs while the person thinks. Name and role are remembered for the whole conversation (contextId);
// the topic belongs to one task.

import { defineAgent, type QuickTask } from "./agent.ts";

type Field = "name" | "role" | "topic";

const questions: readonly { field: Field; question: string }[] = [
  { field: "name", question: "What is your name?" },
  { field: "role", question: "What is your role?" },
  { field: "topic", question: "Which topic would you like to talk about?" },
];

const MAX_ANSWER_LENGTH = 200;

/** What one task has heard, and the field it asked for last. */
type Draft = { asked?: Field; answers: Partial<Record<Field, string>> };

export const interview = defineAgent({
  name: "interview",
  title: "Interview",
  description: "Asks for a name, a role and a topic, and remembers who it is talking to.",
  outputModes: ["text/plain", "application/json"],
  skills: [
    {
      id: "interview",
      name: "Interview",
      description:
        'Asks one question at a time. "stop" ends the interview, "start over" forgets the answers.',
      tags: ["multi-turn", "memory", "demo"],
      examples: ["Hello", "start over", "stop"],
    },
  ],
  async run(task) {
    switch (toCommand(task.input.text)) {
      case "stop":
        saveDraft(task, undefined);
        return task.reject("Then we stop here. Write again whenever you like.");
      case "start over":
        task.memory.set("name", undefined);
        task.memory.set("role", undefined);
        return askNext(task, { answers: {} }, "Let us start over.");
      default:
        return hear(task);
    }
  },
});

function toCommand(text: string): "stop" | "start over" | undefined {
  switch (text.trim().toLowerCase()) {
    case "stop":
    case "cancel":
      return "stop";
    case "start over":
      return "start over";
    default:
      return undefined;
  }
}

/** Takes the message as the answer to what this task asked; the message that made the task answers nothing. */
async function hear(task: QuickTask): Promise<void> {
  const draft = loadDraft(task);
  if (draft.asked === undefined) {
    const name = known(task, draft).name;
    return askNext(task, draft, name === undefined ? "Hello!" : `Welcome back, ${name}!`);
  }
  const answer = task.input.text.trim();
  if (answer === "") return askNext(task, draft, "I need an answer in words.");
  if (answer.length > MAX_ANSWER_LENGTH) {
    return askNext(task, draft, `Please answer in at most ${MAX_ANSWER_LENGTH} characters.`);
  }
  if (draft.asked !== "topic") task.memory.set(draft.asked, answer);
  const answers = { ...draft.answers, [draft.asked]: answer };
  return askNext(task, { answers }, draft.asked === "name" ? `Nice to meet you, ${answer}.` : "Thank you.");
}

/** Asks for the first field that is missing, after `opening`; with none missing the interview is complete. */
async function askNext(task: QuickTask, draft: Draft, opening: string): Promise<void> {
  const person = known(task, draft);
  const next = questions.find(({ field }) => person[field] === undefined);
  if (next) {
    saveDraft(task, { ...draft, asked: next.field });
    return task.inputRequired(`${opening} ${next.question}`);
  }
  saveDraft(task, undefined);
  await task.artifact({
    artifactId: "interview",
    name: "interview",
    parts: [
      { data: person, mediaType: "application/json" },
      { text: `${person.name} (${person.role}) would like to talk about ${person.topic}.` },
    ],
  });
  await task.complete(`Thank you, ${person.name}. I have noted everything.`);
}

/** The answers of this task, and what an earlier one in the conversation has learned. */
function known(task: QuickTask, draft: Draft): Draft["answers"] {
  const name = remembered(task, "name");
  const role = remembered(task, "role");
  return { ...(name !== undefined && { name }), ...(role !== undefined && { role }), ...draft.answers };
}

function remembered(task: QuickTask, field: Field): string | undefined {
  const value = task.memory.get(field);
  return typeof value === "string" ? value : undefined;
}

// Tasks of one conversation may be open side by side, so each has a draft of its own.

function loadDraft(task: QuickTask): Draft {
  return (task.memory.get(`draft:${task.id}`) as Draft | undefined) ?? { answers: {} };
}

function saveDraft(task: QuickTask, draft: Draft | undefined): void {
  task.memory.set(`draft:${task.id}`, draft);
}
