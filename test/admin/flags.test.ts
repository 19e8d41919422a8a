// Switching features at run time, as operators do it.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { VERSIONS } from "../../src/protocol/version.ts";
import { configWith } from "../support/operations.ts";
import { createOperator, startAfresh } from "./operator.ts";

beforeEach(startAfresh);
afterEach(() => void vi.restoreAllMocks());

type Flag = {
  name: string;
  allowed: boolean;
  on: boolean;
  changedAt: string | null;
  changedBy: string | null;
};
type List = { flags: Flag[] };

const names = [...VERSIONS.map((version) => `version-${version}`), "streaming", "push", "load-shedding"];

describe("flags", () => {
  it("are all on as long as nobody has switched one", async () => {
    const { result } = createOperator();
    const { flags } = await result<List>("GET", "/flags");
    expect(flags.map(({ name }) => name)).toEqual(names);
    for (const flag of flags) {
      expect(flag).toMatchObject({ allowed: true, on: true, changedAt: null, changedBy: null });
    }
  });

  it("are switched off and on and reset, and say when and by whom", async () => {
    const flagsChanged = vi.fn();
    const { result } = createOperator({ now: () => 1_000, flagsChanged });
    const off = await result("POST", "/flags/push:set", { state: "off" });
    const by = { changedAt: "1970-01-01T00:00:01.000Z", changedBy: "operator::admin-key" };
    expect(off).toMatchObject({ name: "push", on: false, ...by });
    const { flags } = await result<List>("GET", "/flags");
    expect(flags.filter(({ on }) => !on).map(({ name }) => name)).toEqual(["push"]);
    expect(await result("POST", "/flags/push:set", { state: "on" })).toMatchObject({ on: true, ...by });
    const reset = await result("POST", "/flags/push:reset", {});
    expect(reset).toMatchObject({ on: true, changedAt: null, changedBy: null });
    expect(flagsChanged).toHaveBeenCalledTimes(3);
  });

  it("switch nothing on that the settings do not allow", async () => {
    const { result } = createOperator({ config: configWith({ streaming: false }) });
    const answer = await result("POST", "/flags/streaming:set", { state: "on" });
    expect(answer).toMatchObject({ allowed: false, on: false });
  });

  it("leave one version to be served", async () => {
    const { result, refusal } = createOperator();
    const [first, ...others] = VERSIONS;
    for (const version of others) await result("POST", `/flags/version-${version}:set`, { state: "off" });
    const told = await refusal("POST", `/flags/version-${first}:set`, { state: "off" });
    expect(told).toMatchObject({ status: 400, fields: ["state"] });
  });

  it.each([
    ["nobody:set", { state: "off" }, 404],
    ["__proto__:reset", {}, 404],
    ["push:set", {}, 400],
    ["push:set", { state: "maybe" }, 400],
    ["push:set", { state: "off", for: "ever" }, 400],
    ["push:flip", {}, 404],
  ])("refuse POST /admin/v1/flags/%s %j", async (path, body, status) => {
    const { result, refusal } = createOperator();
    expect((await refusal("POST", `/flags/${path}`, body)).status).toBe(status);
    const { flags } = await result<List>("GET", "/flags");
    expect(flags.every(({ on }) => on)).toBe(true);
  });
});
