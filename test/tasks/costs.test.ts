// What an operation costs, exactly counted: commits and rows are what a home is paid for.

import { env, SELF } from "cloudflare:test";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

describe("costs", () => {
  it("runs", async () => {
    const r = await SELF.fetch("http://x/", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: { message: { messageId: "m", role: "ROLE_USER", parts: [{ text: "hi" }] } } }) });
    expect(await r.json()).toMatchObject({ result: { task: { status: { state: "TASK_STATE_COMPLETED" } } } });
    const stub = env.HOMES.get(env.HOMES.idFromName("open::anonymous/0"));
    await runInDurableObject(stub, (o, state) => { console.log("name", state.id.name, [...state.storage.sql.exec("select * from tasks")], [...state.storage.sql.exec("select * from due")], [...state.storage.sql.exec("select name from sqlite_master")].map(x=>x.name)); });
  });
});
