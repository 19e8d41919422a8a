// The run of a quick turn that a dead process left behind, while the turn runs again.
//
// Its rows are expected once more, in the same order; as long as an emission equals the next of them it is known
// and skipped. At the first difference the rest of the earlier run is replaced, and each artifact it had touched
// starts over with `append: false` and all its parts, since subscribers have seen what is replaced.

import type { Emission } from "../agents/emissions.ts";
import type { Artifact } from "../protocol/artifact.ts";
import type { TaskArtifactUpdateEvent, TaskStatusUpdateEvent } from "../protocol/events.ts";
import { splitReplaced, toArtifacts } from "./fold.ts";
import { type Entry, type TaskRecord, toEvent } from "./machine.ts";

type Seen =
  | { kind: "known" }
  | { kind: "new"; emission: Emission }
  | { kind: "differs"; from: number; emission: Emission };

/** What an earlier run of the same turn emitted, and what the present one has emitted of it so far. */
export class EarlierRun {
  readonly #rows: { seq: number; event: string; artifactId: string | undefined }[];
  /** Artifacts as they are for the present run: before the turn, and with what it emitted. */
  readonly #artifacts: Map<string, Artifact>;
  /** Artifacts that the replaced rows had touched. */
  readonly #startOver = new Set<string>();
  #diverged = false;

  constructor(journal: readonly Entry[], turnSeq: number) {
    const before = journal.filter((entry) => entry.seq <= turnSeq);
    this.#artifacts = new Map(toArtifacts(before).map((artifact) => [artifact.artifactId, artifact]));
    const { standing, replaced } = splitReplaced(journal);
    this.#rows = standing
      .filter(({ seq, kind }) => seq > turnSeq && (kind === "status" || kind === "artifact"))
      .map(({ seq, body }) => ({ seq, ...toComparable(body) }));
    for (const { entry, by } of replaced) {
      if (entry.kind !== "artifact") continue;
      const id = toComparable(entry.body).artifactId;
      // The run that replaced it may have died before it started the artifact over.
      const isOver = this.#rows.some((row) => row.seq > by && row.artifactId === id);
      if (id !== undefined && !isOver) this.#startOver.add(id);
    }
  }

  next(emission: Emission, ordinal: number, task: TaskRecord): Seen {
    this.#track(emission);
    const row = this.#diverged ? undefined : this.#rows[ordinal];
    if (!row) return { kind: "new", emission: this.#whole(emission) };
    if (row.event === JSON.stringify(toEvent(task, emission))) return { kind: "known" };
    this.#diverged = true;
    for (const { artifactId } of this.#rows.slice(ordinal)) {
      if (artifactId !== undefined) this.#startOver.add(artifactId);
    }
    return { kind: "differs", from: row.seq, emission: this.#whole(emission) };
  }

  /** Artifacts of the task whose replaced chunks nobody has taken back yet, whole; to be sent before the end. */
  takeLeftovers(): Emission[] {
    const ids = [...this.#startOver];
    this.#startOver.clear();
    return ids.flatMap((id): Emission[] => {
      const artifact = this.#artifacts.get(id);
      return artifact ? [{ kind: "artifact", artifact, append: false, lastChunk: false }] : [];
    });
  }

  #track(emission: Emission): void {
    if (emission.kind !== "artifact") return;
    const { artifact, append } = emission;
    const known = this.#artifacts.get(artifact.artifactId);
    const parts = append && known ? [...known.parts, ...artifact.parts] : artifact.parts;
    this.#artifacts.set(artifact.artifactId, { ...(append && known ? known : artifact), parts });
  }

  #whole(emission: Emission): Emission {
    if (emission.kind !== "artifact" || !this.#startOver.delete(emission.artifact.artifactId))
      return emission;
    const whole = this.#artifacts.get(emission.artifact.artifactId) ?? emission.artifact;
    return { ...emission, artifact: whole, append: false };
  }
}

/** An event without its time, which no re-run repeats. */
function toComparable(body: string): { event: string; artifactId: string | undefined } {
  const event = JSON.parse(body) as
    | { statusUpdate: TaskStatusUpdateEvent }
    | { artifactUpdate: TaskArtifactUpdateEvent };
  if ("artifactUpdate" in event) return { event: body, artifactId: event.artifactUpdate.artifact.artifactId };
  const { timestamp: _, ...status } = event.statusUpdate.status;
  return {
    event: JSON.stringify({ statusUpdate: { ...event.statusUpdate, status } }),
    artifactId: undefined,
  };
}
