// The smallest agent: one artifact with the text it was sent.

import { defineAgent } from "./agent.ts";

export const echo = defineAgent({
  name: "echo",
  title: "Echo",
  description: "Answers every message with its own text.",
  skills: [
    {
      id: "echo",
      name: "Echo",
      description: "Returns the text of the message as an artifact.",
      tags: ["echo", "demo"],
      examples: ["Hello"],
    },
  ],
  async run(task) {
    await task.artifact({ name: "echo", parts: [{ text: `echo: ${task.input.text}` }] });
  },
});
