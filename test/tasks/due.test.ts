// The one alarm of a home: what is in memory of it, beside what is stored.

import { describe, expect, it, vi } from "vitest";
import { Due } from "../../src/tasks/due.ts";

function world() {
  const setAlarm = vi.fn(async (_at: number) => {});
  return { setAlarm, due: new Due({ setAlarm } as unknown as DurableObjectStorage) };
}

describe("the alarm", () => {
  it("is set again only for what comes sooner", () => {
    const { due, setAlarm } = world();
    for (const at of [500, 700, 500, 300]) due.ring(at);
    expect(setAlarm.mock.calls).toEqual([[500], [300]]);
  });

  it("rings at once after a transaction that was rolled back, which may have set it", () => {
    const { due, setAlarm } = world();
    due.ring(500);
    due.rolledBack();
    expect(setAlarm.mock.calls).toEqual([[500], [1]]);
    due.rang();
    due.ring(800);
    expect(setAlarm).toHaveBeenLastCalledWith(800);
  });

  it("stays unset after a transaction that was rolled back if it was not set", () => {
    const { due, setAlarm } = world();
    due.rolledBack();
    expect(setAlarm).not.toHaveBeenCalled();
  });
});
