import { env, SELF, runInDurableObject, abortAllDurableObjects, runDurableObjectAlarm } from "cloudflare:test";
import { exports } from "cloudflare:workers";
import { expect, it, vi } from "vitest";
import worker from "../../src/index.ts";
import * as reg from "../../src/agents/registry.ts";
import { HomeObject } from "../../src/tasks/home.ts";
const stub = () => env.HOMES.get(env.HOMES.idFromName("open::anonymous/0"));
const send = (path: string, text: string, extra: object = {}) => SELF.fetch("http://x/" + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: { message: { messageId: "m", role: "ROLE_USER", parts: [{ text }] }, ...extra } }) });
it("shares", async () => {
  await runInDurableObject(stub(), (o) => { console.log("instanceof", o instanceof HomeObject, o.constructor.name); });
  const spy = vi.spyOn(HomeObject.prototype, "send");
  await send("", "x");
  console.log("spied", spy.mock.calls.length);
});
it("name", async () => {
    await send("", "x");
    await abortAllDurableObjects();
    const byString = () => env.HOMES.get(env.HOMES.idFromString(stub().id.toString()));
    await runInDurableObject(byString(), (o, state) => { console.log("name by string", state.id.name); });
    await abortAllDurableObjects();
    console.log("alarm", await runDurableObjectAlarm(byString()));
    await runInDurableObject(byString(), (o, state) => { console.log("name by string", state.id.name); });
    console.log((await env.DB.prepare("select * from homes").all()).results);
    await abortAllDurableObjects();
    await (byString() as any).poke();
    console.log((await env.DB.prepare("select * from homes").all()).results);
});
