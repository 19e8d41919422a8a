import { expect, it, vi } from "vitest";
import { SELF } from "cloudflare:test";
vi.hoisted(() => vi.resetModules());
vi.mock("../../src/agents/echo.ts", async () => { console.log("MOCK FACTORY"); const {defineAgent} = await import("../../src/agents/agent.ts"); return { echo: defineAgent({name:"echo", title:"MOCKED", description:"x", skills:[{id:"a",name:"a",description:"a",tags:[]}], run: async()=>{} }) }; });
it("x", async () => {
  console.log((await (await SELF.fetch("https://a.b/.well-known/agent-card.json")).text()).slice(0,100));
});
