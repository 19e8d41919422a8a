// The enterprise agent: five kinds of work, chosen by the text.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { enterprise } from "../../src/agents/enterprise.ts";
import { artifactsOf, message, runTurn, type Said, statusesOf } from "../support/recorded-task.ts";

beforeEach(() => {
  vi.spyOn(scheduler, "wait").mockImplementation(async (_ms, options) => options?.signal?.throwIfAborted());
});

afterEach(() => {
  vi.restoreAllMocks();
});

const names = (said: readonly Said[]) => artifactsOf(said).map((artifact) => artifact.name);

describe("a secure task", () => {
  test("fails when its webhook has not been validated", async () => {
    const said = await runTurn(enterprise, {
      says: "Run the secure audit",
      notifications: { configured: true, validated: false },
    });
    expect(said).toEqual([{ state: "failed", text: expect.stringContaining("validated webhook") }]);
  });

  test("completes when its webhook has been validated", async () => {
    const said = await runTurn(enterprise, {
      says: "Run the secure audit",
      notifications: { configured: true, validated: true },
    });
    expect(names(said)).toEqual(["secure-report"]);
    expect(said.at(-1)).toEqual({
      state: "completed",
      text: "The secure task was done; its webhook is validated.",
    });
  });

  test("completes with a note when it has no webhook", async () => {
    const said = await runTurn(enterprise, { says: "Run the secure audit" });
    expect(said.at(-1)).toEqual({ state: "completed", text: expect.stringContaining("it has no webhook") });
  });

  test("keeps its check when the text names files and batches too", async () => {
    const said = await runTurn(enterprise, {
      says: "a batch of files, securely",
      notifications: { configured: true, validated: false },
    });
    expect(statusesOf(said)[0]).toMatch(/^failed/);
  });
});

describe("publishing", () => {
  const asked = [message("Publish the report"), message("Publishing needs approval.")];

  test("asks for approval, and does nothing before", async () => {
    const said = await runTurn(enterprise, { says: "Publish the report" });
    expect(said).toEqual([
      {
        state: "auth-required",
        text: "Publishing needs approval. It would be published: Publish the report",
        tool: "publish",
      },
    ]);
  });

  test("is done when it was approved, with what was asked for at first", async () => {
    const said = await runTurn(enterprise, {
      says: [{ text: "approve" }, { text: "and the files, too" }],
      approval: { tool: "publish", approved: true },
      earlier: asked,
    });
    expect(said).toEqual([
      { state: "working", text: "Publishing" },
      {
        artifact: {
          artifactId: "publication",
          name: "publication",
          parts: [{ text: "Published: Publish the report" }],
        },
      },
      { state: "completed", text: "It was published." },
    ]);
  });

  test("is rejected when it was denied", async () => {
    const approval = { tool: "publish", approved: false };
    const said = await runTurn(enterprise, { says: [{ data: {} }], approval, earlier: asked });
    expect(said).toEqual([{ state: "rejected", text: "It was not published: approval was denied." }]);
  });

  test.each(["publish the files", "publish a batch", "securely publish it"])(
    "is asked about whatever else the text says: %s",
    async (says) => {
      expect(statusesOf(await runTurn(enterprise, { says }))).toEqual([
        expect.stringMatching(/^auth-required/),
      ]);
    },
  );

  test("securely needs a validated webhook besides", async () => {
    const notifications = { configured: true, validated: false };
    const said = await runTurn(enterprise, { says: "publish it securely", notifications });
    expect(statusesOf(said)).toEqual([expect.stringMatching(/^failed/)]);
  });
});

describe("file processing", () => {
  test("makes one artifact for each file of the message, and a summary", async () => {
    const said = await runTurn(enterprise, {
      says: [
        { text: "process the files" },
        { raw: "aGVsbG8=", filename: "hello.txt", mediaType: "text/plain" },
        { url: "https://example.com/a.pdf" },
        { data: { not: "a file" } },
      ],
    });
    expect(artifactsOf(said)).toEqual([
      {
        artifactId: "file-1",
        name: "hello.txt",
        parts: [
          {
            data: { filename: "hello.txt", mediaType: "text/plain", bytes: 5, status: "processed" },
            mediaType: "application/json",
          },
        ],
      },
      {
        artifactId: "file-2",
        name: "file-2",
        parts: [
          {
            data: {
              filename: "file-2",
              mediaType: "application/octet-stream",
              url: "https://example.com/a.pdf",
              status: "processed",
            },
            mediaType: "application/json",
          },
        ],
      },
      {
        artifactId: "summary",
        name: "summary",
        parts: [
          { data: { files: ["hello.txt", "file-2"], count: 2, bytes: 5 }, mediaType: "application/json" },
          { text: "Processed 2 files, 5 bytes." },
        ],
      },
    ]);
    expect(statusesOf(said)).toEqual([
      "working: Processing file 1/2 (50% complete): hello.txt",
      "working: Processing file 2/2 (100% complete): file-2",
      "completed: Processed 2 files, 5 bytes.",
    ]);
  });

  test("takes three samples when the message has no file", async () => {
    const said = await runTurn(enterprise, { says: "file processing" });
    expect(names(said)).toEqual(["contract.pdf", "invoices.csv", "minutes.txt", "summary"]);
    expect(statusesOf(said).at(-1)).toContain("samples");
  });

  test.each([
    ["", 0],
    ["YQ==", 1],
    ["YWI=", 2],
    ["YWJj", 3],
    ["YWI", 2],
  ])("counts the bytes of %j as %i", async (raw, bytes) => {
    const said = await runTurn(enterprise, { says: [{ text: "file" }, { raw, filename: "a" }] });
    expect(artifactsOf(said)[0]?.parts[0]?.data).toMatchObject({ bytes });
  });
});

describe("a batch", () => {
  test("reports each item and ends with a result", async () => {
    const said = await runTurn(enterprise, { says: "batch of 2 items" });
    expect(statusesOf(said)).toEqual([
      "working: Processing item 1/2 (50% complete)",
      "working: Processing item 2/2 (100% complete)",
      "completed: Processed a batch of 2 items.",
    ]);
    expect(artifactsOf(said)[0]?.parts[0]?.data).toEqual({ items: 2, succeeded: 2, failed: 0 });
  });

  test("has five items by default", async () => {
    const said = await runTurn(enterprise, { says: "Batch!" });
    expect(statusesOf(said)).toHaveLength(6);
  });

  test("of too many items is rejected", async () => {
    const said = await runTurn(enterprise, { says: "batch of 101 items" });
    expect(said).toEqual([{ state: "rejected", text: "A batch has 1 to 100 items, not 101." }]);
  });
});

test("anything else is a standard task with a report", async () => {
  const said = await runTurn(enterprise, { says: "Prepare the quarter" });
  expect(said).toEqual([
    { state: "working", text: "Working on the task" },
    {
      artifact: {
        artifactId: "report",
        name: "report",
        parts: [{ text: "The task was done: Prepare the quarter" }],
      },
    },
    { state: "completed" },
  ]);
});

test.each(["secure", "file", "batch", "anything"])(
  "%s work stops when the task is canceled",
  async (says) => {
    await expect(runTurn(enterprise, { says, signal: AbortSignal.abort() })).rejects.toThrow();
  },
);

test("shows the secure task on the extended card only", () => {
  expect(enterprise.extendedSkills.map((skill) => skill.id)).toEqual(["secure-task"]);
  expect(enterprise.skills.map((skill) => skill.id)).not.toContain("secure-task");
});
