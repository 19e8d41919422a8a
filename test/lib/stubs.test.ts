import { describe, expect, it } from "vitest";
import { keepStubs } from "../../src/lib/stubs.ts";

/** Stubs that say which one of their name they are. */
function world() {
  const made: string[] = [];
  const call = keepStubs((name) => {
    made.push(name);
    const number = made.filter((other) => other === name).length;
    return {
      ask: async () => `${name} ${number}`,
      fail: async (): Promise<string> => Promise.reject(new Error(name)),
    };
  });
  return { made, call };
}

describe("stubs that are kept", () => {
  it("are made once for each name", async () => {
    const { made, call } = world();
    for (let i = 0; i < 3; i++) {
      expect(await call("a", (stub) => stub.ask())).toBe("a 1");
      expect(await call("b", (stub) => stub.ask())).toBe("b 1");
    }
    expect(made).toEqual(["a", "b"]);
  });

  it("are made anew when a call through a kept one fails: it is made once more", async () => {
    const { made, call } = world();
    await call("a", (stub) => stub.ask());
    const tried: string[] = [];
    const answer = await call("a", async (stub) => {
      const name = await stub.ask();
      tried.push(name);
      return name === "a 1" ? stub.fail() : name;
    });
    expect(answer).toBe("a 2");
    expect(tried).toEqual(["a 1", "a 2"]);
    expect(await call("a", (stub) => stub.ask())).toBe("a 2");
    expect(made).toEqual(["a", "a"]);
  });

  it("do not stay when a call through a new one fails, which is not made again", async () => {
    const { made, call } = world();
    await expect(call("a", (stub) => stub.fail())).rejects.toThrow("a");
    expect(made).toEqual(["a"]);
    expect(await call("a", (stub) => stub.ask())).toBe("a 2");
  });

  it("leave an object that is overloaded alone", async () => {
    const { made, call } = world();
    await call("a", (stub) => stub.ask());
    const overloaded = Object.assign(new Error("too much"), { overloaded: true });
    await expect(call("a", () => Promise.reject(overloaded))).rejects.toBe(overloaded);
    expect(made).toEqual(["a"]);
  });

  it("stay when a call through an older one fails late", async () => {
    const { made, call } = world();
    let failLate = () => {};
    const late = call("a", () => {
      return new Promise<string>((_, reject) => {
        failLate = () => reject(new Error("late"));
      });
    });
    await call("a", (stub) => (made.length === 1 ? stub.fail() : stub.ask()));
    failLate();
    await expect(late).rejects.toThrow("late");
    expect(await call("a", (stub) => stub.ask())).toBe("a 2");
    expect(made).toHaveLength(2);
  });

  it("are a hundred at most: the one that came first goes", async () => {
    const { made, call } = world();
    for (let i = 0; i < 101; i++) await call(`n${i}`, (stub) => stub.ask());
    await call("n1", (stub) => stub.ask());
    expect(made).toHaveLength(101);
    expect(await call("n0", (stub) => stub.ask())).toBe("n0 2");
  });

  it("reject the call if there can be none of that name", async () => {
    const call = keepStubs((name): { ask(): Promise<string> } => {
      throw new Error(`no object ${name}`);
    });
    await expect(call("a", (stub) => stub.ask())).rejects.toThrow("no object a");
  });
});
