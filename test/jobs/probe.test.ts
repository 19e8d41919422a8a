import { it } from "vitest";
import { createClient, eventually, homeOf } from "../support/client.ts";
import { jobIdOf, withJobs, instanceStatus } from "../support/jobs.ts";
it("x", async () => {
  const client = createClient({ agent: "long-running" });
  const { id } = await client.start("a job of 100 steps");
  const job = await jobIdOf(client.owner, id);
  await scheduler.wait(100);
  await withJobs(client.owner, async (jobs) => (await jobs.get(job)).pause());
  for (let i = 0; i < 5; i++) { await scheduler.wait(100); console.log(await instanceStatus(client.owner, job), JSON.stringify((await client.get(id)).status)); }
});
