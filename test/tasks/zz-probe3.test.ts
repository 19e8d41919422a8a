import { SELF } from "cloudflare:test";
import { expect, it, vi } from "vitest";


vi.mock("../../src/agents/registry.ts", async (original) => {
  const real = await original<any>();
  console.log("factory");
  return { createRegistry: (c: any) => { console.log("MOCKED"); return real.createRegistry(c); } };
});
it("x", async () => { vi.resetModules();

  console.log("then self");
  await SELF.fetch("http://x/");
});
