// Dead letters as operators handle them, and how they come into D1.

import { beforeEach, describe, expect, it, vi } from "vitest";
import { fileDeadLetters } from "../../src/admin/filing.ts";
import { err, ok } from "../../src/lib/result.ts";
import { failure } from "../../src/protocol/errors.ts";
import { findDeadLetter, markDeadLetters, saveDeadLetters } from "../../src/store/dead-letters.ts";
import { deadLetter } from "../store/rows.ts";
import { BY, createOperator, startAfresh } from "./operator.ts";

const { db } = createOperator().deps;
const asked = { task: "0-task", config: "config", seq: 3, sequence: 1 };

beforeEach(startAfresh);

describe("GET /admin/v1/dead-letters", () => {
  type Letters = { deadLetters: { id: string }[]; nextPageToken: string };

  it("lists letters without their payload, the last to die first, page by page", async () => {
    const operator = createOperator();
    await saveDeadLetters(
      db,
      [1, 2, 3].map((i) => deadLetter({ id: `msg_${i}`, diedAt: i * 1_000 })),
    );
    const first = await operator.result<Letters>("GET", "/dead-letters?pageSize=2");
    expect(first.deadLetters.map(({ id }) => id)).toEqual(["msg_3", "msg_2"]);
    expect(first.deadLetters[0]).not.toHaveProperty("body");
    expect(first.deadLetters[0]).toMatchObject({
      ...{ state: "dead", reason: "12 attempts failed; the last answered 500", attempts: 12 },
      diedAt: "1970-01-01T00:00:03.000Z",
    });
    const second = await operator.result<Letters>(
      "GET",
      `/dead-letters?pageSize=2&pageToken=${first.nextPageToken}`,
    );
    expect(second).toMatchObject({ deadLetters: [{ id: "msg_1" }], nextPageToken: "" });
  });

  it("filters", async () => {
    const operator = createOperator();
    await saveDeadLetters(db, [deadLetter(), deadLetter({ id: "msg_2", status: null, error: "timeout" })]);
    await markDeadLetters(db, [deadLetter()], { from: ["dead"], to: "discarded", now: 5 });
    const found = async (query: string) =>
      (await operator.result<Letters>("GET", `/dead-letters?${query}`)).deadLetters.map(({ id }) => id);
    expect(await found("state=dead")).toEqual(["msg_2"]);
    expect(await found("status=500&owner=open::owner")).toEqual(["msg_1"]);
    expect(await found("error=timeout&task=0-task&config=config")).toEqual(["msg_2"]);
    expect(await found("to=1970-01-01T00:00:01Z")).toEqual([]);
    expect((await operator.refusal("GET", "/dead-letters?config=config")).fields).toEqual(["config"]);
  });
});

describe("one dead letter", () => {
  it("is shown with its payload, or with null if that was too large", async () => {
    const operator = createOperator();
    await saveDeadLetters(db, [deadLetter(), deadLetter({ id: "msg_2", body: null })]);
    expect(await operator.result("GET", "/dead-letters/msg_1")).toMatchObject({
      body: '{"statusUpdate":{}}',
    });
    expect(await operator.result("GET", "/dead-letters/msg_2")).toMatchObject({ body: null });
    expect((await operator.refusal("GET", "/dead-letters/msg_3")).status).toBe(404);
  });

  it("is retried by its home, and marked", async () => {
    const operator = createOperator();
    await saveDeadLetters(db, [deadLetter()]);
    const answer = await operator.call("POST", "/dead-letters/msg_1:retry");
    expect(answer).toMatchObject({ status: 202, body: { id: "msg_1", state: "retrying" } });
    expect(operator.homes).toEqual({ home: [["retryDead", [asked], BY]] });
    // Once more, should it have been lost.
    expect(await operator.result("POST", "/dead-letters/msg_1:retry")).toMatchObject({ state: "retrying" });
  });

  it("stays dead when its config or task exists no more, or its home cannot be reached", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    const gone = createOperator({ home: { retryDead: async () => ok({ accepted: 0, gone: [asked] }) } });
    expect(await gone.refusal("POST", "/dead-letters/msg_1:retry")).toMatchObject({
      status: 400,
      reason: "UNSUPPORTED_OPERATION",
      message: expect.stringContaining("exists no more"),
    });
    const busy = createOperator({ home: { retryDead: async () => err(failure("UNAVAILABLE")) } });
    expect((await busy.refusal("POST", "/dead-letters/msg_1:retry")).status).toBe(503);
    const broken = createOperator({ home: { retryDead: () => Promise.reject(new Error("cut off")) } });
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await broken.refusal("POST", "/dead-letters/msg_1:retry")).status).toBe(500);
    expect((await findDeadLetter(db, "msg_1"))?.state).toBe("dead");
  });

  it("that was retrying already stays so when it cannot be retried once more", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    await markDeadLetters(db, [deadLetter()], { from: ["dead"], to: "retrying", now: 5 });
    const busy = createOperator({ home: { retryDead: async () => err(failure("UNAVAILABLE")) } });
    expect((await busy.refusal("POST", "/dead-letters/msg_1:retry")).status).toBe(503);
    expect((await findDeadLetter(db, "msg_1"))?.state).toBe("retrying");
  });

  it("is not discarded while its home is asked to retry it", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    const operator = createOperator({
      home: {
        retryDead: async () => {
          expect((await operator.refusal("POST", "/dead-letters/msg_1:discard")).status).toBe(400);
          return ok({ accepted: 1, gone: [] });
        },
      },
    });
    expect(await operator.result("POST", "/dead-letters/msg_1:retry")).toMatchObject({ state: "retrying" });
  });

  it("is either discarded or retried when both are asked for at once", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    const operator = createOperator();
    const answers = await Promise.all(
      ["retry", "discard"].map((verb) => operator.call("POST", `/dead-letters/msg_1:${verb}`)),
    );
    expect(answers.filter(({ status }) => status < 300)).toHaveLength(1);
    const isRetried = operator.homes.home !== undefined;
    expect((await findDeadLetter(db, "msg_1"))?.state).toBe(isRetried ? "retrying" : "discarded");
  });

  it("that dies again while its retry is being answered stays dead", async () => {
    await saveDeadLetters(db, [deadLetter()]);
    const operator = createOperator({
      home: {
        retryDead: async () => {
          await saveDeadLetters(db, [deadLetter({ diedAt: 2_000, reason: "It answered 410." })]);
          return ok({ accepted: 1, gone: [] });
        },
      },
    });
    expect(await operator.result("POST", "/dead-letters/msg_1:retry")).toMatchObject({
      state: "dead",
      reason: "It answered 410.",
    });
  });

  it("is discarded, and then neither retried nor changed", async () => {
    const operator = createOperator();
    await saveDeadLetters(db, [deadLetter()]);
    for (let i = 0; i < 2; i++) {
      expect(await operator.result("POST", "/dead-letters/msg_1:discard")).toMatchObject({
        state: "discarded",
      });
    }
    expect(await operator.refusal("POST", "/dead-letters/msg_1:retry")).toMatchObject({
      status: 400,
      message: expect.stringContaining("discarded"),
    });
    expect(operator.homes).toEqual({});
  });

  it("that was delivered is neither retried nor discarded", async () => {
    const operator = createOperator();
    await saveDeadLetters(db, [deadLetter()]);
    await markDeadLetters(db, [deadLetter()], { from: ["dead"], to: "delivered", now: 5 });
    for (const verb of ["retry", "discard"]) {
      expect((await operator.refusal("POST", `/dead-letters/msg_1:${verb}`)).status).toBe(400);
    }
    expect((await operator.refusal("POST", "/dead-letters/msg_2:discard")).status).toBe(404);
  });
});

describe("fileDeadLetters", () => {
  /** A home that keeps letters until it is told that they are filed. */
  function homeWith(ids: readonly string[]) {
    const kept = new Map(ids.map((id) => [id, deadLetter({ id })]));
    const operator = createOperator({
      home: {
        deadLetters: async (asked) => asked.flatMap((id) => kept.get(id) ?? []),
        deadFiled: async (filed) => {
          for (const { id } of filed) kept.delete(id);
          return [];
        },
      },
    });
    return { ...operator, kept };
  }
  const ids = Array.from({ length: 25 }, (_, i) => `msg_${i}`);

  it("brings letters into D1 and tells the home, a few at a time", async () => {
    const { deps, kept, homes } = homeWith(ids);
    await fileDeadLetters(deps, "home", ids);
    expect(kept.size).toBe(0);
    for (const id of ids) expect(await findDeadLetter(db, id)).toMatchObject({ id, state: "dead" });
    expect(homes.home?.every(([, asked]) => (asked as string[]).length <= 10)).toBe(true);
  });

  it("does nothing about letters that the home no longer keeps, however often it is asked", async () => {
    const { deps, homes } = homeWith(ids.slice(0, 1));
    for (let i = 0; i < 3; i++) await fileDeadLetters(deps, "home", ["msg_0", "msg_99"]);
    expect(homes.home?.filter(([method]) => method === "deadFiled")).toEqual([
      ["deadFiled", [{ id: "msg_0", task: "0-task", diedAt: 1_000 }]],
    ]);
    expect(await findDeadLetter(db, "msg_99")).toBeUndefined();
    await fileDeadLetters(deps, "home", []);
  });

  it("loses nothing when it fails before the home is told", async () => {
    const { deps, kept } = homeWith(["msg_0"]);
    const failing = {
      ...deps,
      homeAt: (id: string) => ({ ...deps.homeAt(id), deadFiled: () => Promise.reject(new Error("cut off")) }),
    };
    await expect(fileDeadLetters(failing, "home", ["msg_0"])).rejects.toThrow("cut off");
    expect(kept.size).toBe(1);
    await fileDeadLetters(deps, "home", ["msg_0"]);
    expect(kept.size).toBe(0);
    expect((await findDeadLetter(db, "msg_0"))?.state).toBe("dead");
  });

  it("files what comes beside and behind a letter that D1 does not take, and fails all the same", async () => {
    const { deps, kept } = homeWith(ids);
    const refuses =
      "BEFORE INSERT ON dead_letters WHEN NEW.id = 'msg_3' BEGIN SELECT RAISE(ABORT, 'no'); END";
    await db.prepare(`CREATE TRIGGER refuses ${refuses}`).run();
    await expect(fileDeadLetters(deps, "home", ids)).rejects.toThrow("no");
    await db.prepare("DROP TRIGGER refuses").run();
    expect([...kept.keys()]).toEqual(["msg_3"]);
    expect((await findDeadLetter(db, "msg_4"))?.state).toBe("dead");
    expect(await findDeadLetter(db, "msg_3")).toBeUndefined();
  });

  it("tells the home nothing when D1 fails", async () => {
    const { deps, kept } = homeWith(["msg_0"]);
    const broken = { prepare: () => db.prepare("x"), batch: () => Promise.reject(new Error("D1 is down")) };
    const failing = { ...deps, db: broken as unknown as D1Database };
    await expect(fileDeadLetters(failing, "home", ["msg_0"])).rejects.toThrow("D1 is down");
    expect(kept.size).toBe(1);
  });
});
