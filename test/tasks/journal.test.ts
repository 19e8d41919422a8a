// The journal: what is appended is read again in pages and pieces, and the task is the fold of it.

import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { toArtifacts, toTask } from "../../src/tasks/fold.ts";
import { Journal } from "../../src/tasks/journal.ts";
import { type Entry, newRecord } from "../../src/tasks/machine.ts";
import { migrate } from "../../src/tasks/schema.ts";
import { homeOf, newOwner } from "../support/client.ts";

/** Runs `use` with a journal on a real database. */
function withJournal<T>(use: (journal: Journal, sql: SqlStorage) => T): Promise<T> {
  return runInDurableObject(homeOf(newOwner()), (_, { storage }) => {
    migrate(storage);
    return use(new Journal(storage.sql), storage.sql);
  }) as Promise<T>;
}

/** When the rows of these tests are written, in ms. */
const AT = 1_767_225_600_000;

const ids = { taskId: "t", contextId: "c" };
const row = (seq: number, kind: Entry["kind"], value: unknown): Entry => ({
  seq,
  kind,
  body: JSON.stringify(value),
});
const said = (seq: number, role: string, text: string) =>
  row(seq, "message", { messageId: `m${seq}`, role, parts: [{ text }] });
const status = (seq: number, state: string, text?: string) =>
  row(seq, "status", {
    statusUpdate: {
      ...ids,
      status: {
        state,
        ...(text && { message: { messageId: `s${seq}`, role: "ROLE_AGENT", parts: [{ text }] } }),
      },
    },
  });
const chunk = (seq: number, artifactId: string, text: string, append = false) =>
  row(seq, "artifact", { artifactUpdate: { ...ids, artifact: { artifactId, parts: [{ text }] }, append } });
const restart = (seq: number, from: number) => row(seq, "restart", { from });
const texts = (entries: Entry[]) =>
  toArtifacts(entries).map(({ artifactId, parts }) => [artifactId, parts.map((part) => part.text).join("")]);

describe("append and read", () => {
  it("keeps rows of any number in order, and tasks apart", async () => {
    const entries = Array.from({ length: 1_000 }, (_, i) => chunk(i + 1, "a", `${i}`));
    const read = await withJournal((journal) => {
      journal.append("t", entries, AT);
      journal.append("u", entries.slice(0, 3), AT);
      return [journal.read("t", 0), journal.read("u", 0), journal.read("v", 0)];
    });
    expect(read).toEqual([entries, entries.slice(0, 3), []]);
  });

  it("reads what follows a row, in pages that hold at least one row", async () => {
    const entries = Array.from({ length: 10 }, (_, i) => chunk(i + 1, "a", "x".repeat(1_000)));
    const pages = await withJournal((journal) => {
      journal.append("t", entries, AT);
      return [
        journal.read("t", 7),
        journal.read("t", 0, 1),
        journal.read("t", 0, 2_500),
        journal.read("t", 10, 1),
      ];
    });
    expect(pages.map((page) => page.map(({ seq }) => seq))).toEqual([[8, 9, 10], [1], [1, 2, 3], []]);
  });

  it("keeps what a row refers to", async () => {
    const entries: Entry[] = [
      { ...said(1, "ROLE_USER", "x"), ref: "0-call" },
      { ...status(2, "TASK_STATE_WORKING"), ref: "1" },
    ];
    const read = await withJournal((journal) => {
      journal.append("t", entries, AT);
      return journal.read("t", 0);
    });
    expect(read).toEqual(entries);
  });

  it.each([499_999, 500_000, 500_001, 999_999, 1_000_000, 1_000_001])(
    "cuts a body around %i characters into rows, and no surrogate pair",
    async (length) => {
      // The pairs lie at odd and at even places, so that each cut meets one in one of the two.
      for (const shift of ["", "x"]) {
        const body = `${shift}${"\u{1F600}".repeat(length)}`.slice(0, length).toWellFormed();
        const [read, rows] = await withJournal((journal, sql) => {
          journal.append("t", [{ seq: 1, kind: "artifact", body }, chunk(2, "a", "next")], AT);
          return [
            journal.read("t", 0),
            sql.exec("SELECT piece FROM journal WHERE seq = 1").toArray().length,
          ] as const;
        });
        expect(read[0]?.body === body).toBe(true);
        expect(read[1]?.seq).toBe(2);
        expect(rows).toBeGreaterThanOrEqual(Math.ceil(length / 500_000));
      }
    },
  );

  it("deletes a task's rows and no other's", async () => {
    const left = await withJournal((journal) => {
      journal.append("t", [said(1, "ROLE_USER", "x")], AT);
      journal.append("tt", [said(1, "ROLE_USER", "y")], AT);
      journal.delete("t");
      return [journal.read("t", 0).length, journal.read("tt", 0).length];
    });
    expect(left).toEqual([0, 1]);
  });
});

describe("toArtifacts", () => {
  it("replaces by id, appends to what is there, and keeps the order of first appearance (§4.2.2)", () => {
    const entries = [
      chunk(1, "b", "1"),
      chunk(2, "a", "1"),
      chunk(3, "b", "2", true),
      chunk(4, "a", "new"),
      chunk(5, "c", "appended to nothing", true),
    ];
    expect(texts(entries)).toEqual([
      ["b", "12"],
      ["a", "new"],
      ["c", "appended to nothing"],
    ]);
  });

  it("leaves out what a restart has replaced, from one restart or several", () => {
    const once = [chunk(1, "a", "1"), chunk(2, "a", "2", true), restart(3, 2), chunk(4, "b", "3")];
    expect(texts(once)).toEqual([
      ["a", "1"],
      ["b", "3"],
    ]);
    const twice = [...once, restart(5, 4), chunk(6, "c", "4"), restart(7, 1), chunk(8, "d", "5")];
    expect(texts(twice)).toEqual([["d", "5"]]);
  });

  it("takes ids that are names of Object.prototype as ids", () => {
    expect(texts([chunk(1, "__proto__", "p"), chunk(2, "constructor", "c")])).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
    ]);
  });
});

describe("toTask", () => {
  const entries = [
    said(1, "ROLE_USER", "hi"),
    status(2, "TASK_STATE_WORKING", "on it"),
    chunk(3, "a", "x"),
    said(4, "ROLE_USER", "and?"),
    status(5, "TASK_STATE_INPUT_REQUIRED", "what?"),
  ];
  const record = {
    ...newRecord("t", "agent", "c", 1_000),
    state: "TASK_STATE_INPUT_REQUIRED" as const,
    statusSeq: 5,
    seq: 5,
  };
  const history = (n?: number) =>
    toTask(record, entries, { historyLength: n, artifacts: false }).history?.map((one) => one.parts[0]?.text);

  it("has the messages of both sides in the order they came, the status of the present, and the artifacts", () => {
    const task = toTask(record, entries, { artifacts: true });
    expect(history()).toEqual(["hi", "on it", "and?", "what?"]);
    expect(task).toMatchObject({
      id: "t",
      contextId: "c",
      status: { state: "TASK_STATE_INPUT_REQUIRED", message: { parts: [{ text: "what?" }] } },
      artifacts: [{ artifactId: "a" }],
    });
  });

  it("cuts the history to the newest n, and has none for 0 (§3.2.4)", () => {
    expect(history(2)).toEqual(["and?", "what?"]);
    expect(history(99)).toHaveLength(4);
    expect(toTask(record, entries, { historyLength: 0, artifacts: false })).not.toHaveProperty("history");
  });

  it("has no member for what there is nothing of", () => {
    const task = toTask(newRecord("t", "agent", "c", 1_000), [], { artifacts: true });
    expect(task).toEqual({
      id: "t",
      contextId: "c",
      status: { state: "TASK_STATE_SUBMITTED", timestamp: "1970-01-01T00:00:01.000Z" },
    });
  });

  it("keeps a client's messages through a restart, and drops what the replaced run said", () => {
    const replaced = [...entries.slice(0, 4), restart(5, 2), status(6, "TASK_STATE_WORKING", "again")];
    const now = { ...record, state: "TASK_STATE_WORKING" as const, statusSeq: 6, seq: 6 };
    const task = toTask(now, replaced, { artifacts: true });
    expect(task.history?.map((one) => one.parts[0]?.text)).toEqual(["hi", "and?", "again"]);
    expect(task).not.toHaveProperty("artifacts");
  });

  it("is the same from the database, whatever the view", async () => {
    const views = [
      { artifacts: true },
      { artifacts: false },
      { artifacts: true, historyLength: 0 },
      { artifacts: false, historyLength: 0 },
      { artifacts: false, historyLength: 2 },
    ];
    const stored = await withJournal((journal) => {
      journal.append("t", entries, AT);
      return views.map((view) => journal.toTask(record, view));
    });
    expect(stored).toEqual(views.map((view) => toTask(record, entries, view)));
  });
});
