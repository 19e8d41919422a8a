import { env, SELF, runInDurableObject, evictDurableObject, abortAllDurableObjects, runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import "../../src/index.ts";

vi.mock("../../src/agents/registry.ts", async (original) => {
  const real = await original<typeof import("../../src/agents/registry.ts")>();
  const { defineAgent } = await import("../../src/agents/agent.ts");
  const hostile = defineAgent({ name: "hostile", description: "x", skills: [{id:"x",name:"x",description:"x",tags:[]}], async run(task) { await task.complete("mocked"); } });
  return { createRegistry: (config: any) => {
    const r = real.createRegistry(config);
    if (!r.ok) return r;
    return { ok: true, value: { ...r.value, get: (n: string) => n === "hostile" ? hostile : r.value.get(n) } };
  } };
});

const send = (path: string, text: string, extra: object = {}) => SELF.fetch("http://x/" + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: { message: { messageId: "m", role: "ROLE_USER", parts: [{ text }] }, ...extra } }) });
const stub = () => env.HOMES.get(env.HOMES.idFromName("open::anonymous/0"));
describe("probe", () => {
  it("mock", async () => {
    const spy = vi.spyOn(env.HOMES, "get");
    const r = await send("hostile", "hi");
    console.log(JSON.stringify(await r.json()), "spy calls", spy.mock.calls.length);
    spy.mockRestore();
  });
  it("counts rows", async () => {
    await runInDurableObject(stub(), (o, state) => {
      const sql = state.storage.sql;
      console.log("same sql", sql === state.storage.sql, (o as any).ctx === state);
      const real = sql.exec;
      (sql as any).exec = function (...a: any[]) { const c = (real as any).apply(sql, a); console.log(a[0].slice(0, 60).replace(/\s+/g, " "), c.rowsWritten); return c; };
      const sa = state.storage.setAlarm;
      (state.storage as any).setAlarm = function (...a: any[]) { console.log("ALARM", a); return (sa as any).apply(state.storage, a); };
    });
    await send("", "hi");
    console.log("---- second");
    await send("", "hi");
    console.log("---- get");
  });
  it("abort", async () => {
    const r = await (await send("conformance", "slow:60000", { configuration: { returnImmediately: true } })).json<any>();
    await abortAllDurableObjects();
    console.log("alarm", await runDurableObjectAlarm(stub()));
    await runInDurableObject(stub(), (o, state) => { console.log([...state.storage.sql.exec("select attempt, state from tasks where id = ?", r.result.task.id)], [...state.storage.sql.exec("select seq, kind, body from journal where task = ?", r.result.task.id)], state.id.name); });
    return;
    const t = Date.now();
    await evictDurableObject(stub()).catch(e => console.log("evict", e));
    console.log("evicted", Date.now() - t);
    await runInDurableObject(stub(), (o, state) => { console.log([...state.storage.sql.exec("select attempt, state from tasks where id = ?", r.result.task.id)], state.id.name); });
    await abortAllDurableObjects();
    const byString = env.HOMES.get(env.HOMES.idFromString(stub().id.toString()));
    await runInDurableObject(byString, (o, state) => { console.log("name by string", state.id.name); });
    await abortAllDurableObjects();
    console.log("alarm", await runDurableObjectAlarm(byString));
    await runInDurableObject(byString, (o, state) => { console.log("name by string", state.id.name); });
  });
});
it("name", async () => {
    await send("", "x");
    await abortAllDurableObjects();
    const byString = env.HOMES.get(env.HOMES.idFromString(stub().id.toString()));
    await runInDurableObject(byString, (o, state) => { console.log("name by string", state.id.name); });
    await abortAllDurableObjects();
    console.log("alarm", await runDurableObjectAlarm(byString));
    await runInDurableObject(byString, (o, state) => { console.log("name by string", state.id.name); });
    await abortAllDurableObjects();
    await (byString as any).poke();
    console.log((await env.DB.prepare("select * from homes").all()).results);
    await evictDurableObject(stub()).catch(e => console.log("evict", e));
    console.log("evicted");
});
