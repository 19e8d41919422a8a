// A turn whose object dies at a chosen row of its journal, and what is left of its task.

import { expect } from "vitest";
import type { Artifact } from "../../src/protocol/artifact.ts";
import { type Client, eventually, type Frame } from "../support/client.ts";
import { crash, query } from "../support/home.ts";

export const text = (value: string) => [{ text: value }];

/** Waits for the task to end and says how its artifacts read. */
export async function endOf(client: Client, id: string) {
  const task = await eventually(async () => {
    const task = await client.get(id);
    return /COMPLETED|FAILED|REJECTED|CANCELED/.test(task.status.state) && task;
  });
  return { task, state: task.status.state, artifacts: read(task.artifacts ?? []) };
}

function read(artifacts: Artifact[]): Record<string, string> {
  const texts = artifacts.map(({ artifactId, parts }) => [
    artifactId,
    parts.map((part) => part.text).join(""),
  ]);
  expect(new Set(texts.map(([id]) => id)).size).toBe(texts.length);
  return Object.fromEntries(texts);
}

/** The artifacts as a client makes them from events (§4.2.2). */
export function fold(frames: Frame[]): Record<string, string> {
  const artifacts = new Map<string, Artifact>();
  for (const { event } of frames) {
    if (!event.artifactUpdate) continue;
    const { artifact, append } = event.artifactUpdate;
    const known = artifacts.get(artifact.artifactId);
    if (append && known) known.parts.push(...artifact.parts);
    else artifacts.set(artifact.artifactId, structuredClone(artifact));
  }
  return read([...artifacts.values()]);
}

/** Every event of a task, from its first; their ids are in order and none is there twice. */
export async function replay(client: Client, id: string): Promise<Frame[]> {
  const frames = await (await client.subscribe(id, "0")).rest();
  const ids = frames.map((frame) => Number(frame.id));
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  return frames;
}

/** Starts a task, and kills its object when its journal has `rows` rows. */
export async function startAndCrash(client: Client, says: string, rows: number): Promise<string> {
  const { id } = await client.start(says);
  await crashAt(client, id, rows);
  return id;
}

export async function crashAt(client: Client, id: string, rows: number): Promise<void> {
  await eventually(async () => {
    const [row] = await query<{ seq: number }>(client.owner, "SELECT seq FROM tasks WHERE id = ?", id);
    return row && row.seq >= rows;
  });
  await crash();
}
