import { describe, expect, it } from "vitest";
import { createClient, kindOf, textOf } from "../support/client.ts";

describe("a job", () => {
  it("runs", async () => {
    const client = createClient({ agent: "long-running" });
    const s = await client.sendStream("a job of 3 steps");
    const frames = await s.rest();
    console.log(JSON.stringify(frames, null, 1));
  });
});
