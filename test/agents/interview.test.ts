// The interview: conversations over one or several tasks that share a memory.

import { expect, test } from "vitest";
import { interview } from "../../src/agents/interview.ts";
import { artifactsOf, runTurn, type Said } from "../support/recorded-task.ts";

/** A conversation: `turn` sends one message to one of its tasks and returns what the agent said last. */
function startConversation() {
  const memory = new Map<string, unknown>();
  const turn = async (id: string, says: string) => {
    const said = await runTurn(interview, { id, says, memory });
    return { last: said.at(-1), said };
  };
  return { memory, turn };
}

const asks = (text: string): Said => ({ state: "input-required", text });

test("collects name, role and topic, one question a turn", async () => {
  const { turn } = startConversation();
  expect((await turn("a", "Hi")).last).toEqual(asks("Hello! What is your name?"));
  expect((await turn("a", " Ada ")).last).toEqual(asks("Nice to meet you, Ada. What is your role?"));
  expect((await turn("a", "Engineer")).last).toEqual(
    asks("Thank you. Which topic would you like to talk about?"),
  );
  const { last, said } = await turn("a", "Engines");
  expect(artifactsOf(said)).toEqual([
    {
      artifactId: "interview",
      name: "interview",
      parts: [
        { data: { name: "Ada", role: "Engineer", topic: "Engines" }, mediaType: "application/json" },
        { text: "Ada (Engineer) would like to talk about Engines." },
      ],
    },
  ]);
  expect(last).toEqual({ state: "completed", text: "Thank you, Ada. I have noted everything." });
});

test("greets by name in a second task and asks only for what is missing", async () => {
  const { turn } = startConversation();
  for (const says of ["Hi", "Ada", "Engineer", "Engines"]) await turn("a", says);
  expect((await turn("b", "Hi again")).last).toEqual(
    asks("Welcome back, Ada! Which topic would you like to talk about?"),
  );
  const { last, said } = await turn("b", "Poetry");
  expect(artifactsOf(said)[0]?.parts[0]?.data).toEqual({ name: "Ada", role: "Engineer", topic: "Poetry" });
  expect(last).toMatchObject({ state: "completed" });
});

test("a conversation of its own knows nobody", async () => {
  const { turn } = startConversation();
  await turn("a", "Hi");
  await turn("a", "Ada");
  expect((await startConversation().turn("a", "Hi")).last).toEqual(asks("Hello! What is your name?"));
});

test.each(["", "  \n "])("asks again after the empty answer %j", async (says) => {
  const { turn } = startConversation();
  await turn("a", "Hi");
  expect((await turn("a", says)).last).toEqual(asks("I need an answer in words. What is your name?"));
  expect((await turn("a", "Ada")).last).toEqual(asks("Nice to meet you, Ada. What is your role?"));
});

test("asks again after an answer of more than 200 characters", async () => {
  const { turn } = startConversation();
  await turn("a", "Hi");
  const { last } = await turn("a", "x".repeat(201));
  expect(last).toEqual(asks("Please answer in at most 200 characters. What is your name?"));
});

test.each(["stop", "Cancel", " STOP "])("%j ends the interview and keeps the answers", async (says) => {
  const { turn } = startConversation();
  await turn("a", "Hi");
  await turn("a", "Ada");
  expect((await turn("a", says)).last).toMatchObject({ state: "rejected" });
  expect((await turn("b", "Hi")).last).toEqual(asks("Welcome back, Ada! What is your role?"));
});

test('"start over" forgets what was learned', async () => {
  const { turn } = startConversation();
  for (const says of ["Hi", "Ada", "Engineer"]) await turn("a", says);
  expect((await turn("a", "Start over")).last).toEqual(asks("Let us start over. What is your name?"));
  expect((await turn("b", "Hi")).last).toEqual(asks("Hello! What is your name?"));
});

test("two open tasks of a conversation each get the answer to their own question", async () => {
  const { turn } = startConversation();
  await turn("a", "Hi");
  await turn("b", "Hi");
  expect((await turn("a", "Ada")).last).toEqual(asks("Nice to meet you, Ada. What is your role?"));
  expect((await turn("b", "Grace")).last).toEqual(asks("Nice to meet you, Grace. What is your role?"));
  await turn("a", "Engineer");
  const { said } = await turn("a", "Engines");
  expect(artifactsOf(said)[0]?.parts[0]?.data).toEqual({ name: "Ada", role: "Engineer", topic: "Engines" });
});

test("leaves nothing of a finished task in the memory", async () => {
  const { turn, memory } = startConversation();
  for (const says of ["Hi", "Ada", "Engineer", "Engines"]) await turn("a", says);
  await turn("b", "Hi");
  await turn("b", "stop");
  expect(Object.fromEntries(memory)).toEqual({ name: "Ada", role: "Engineer" });
});
