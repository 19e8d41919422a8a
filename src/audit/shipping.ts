// Takes the entries of a chain to D1, where operators search them. A shipment that was cut off is made again, and what
// comes twice changes nothing there; the chain keeps each entry until D1 has it.

import { inPieces } from "../store/pieces.ts";
import { log } from "../telemetry/log.ts";
import type { AuditChain } from "./chain.ts";
import type { AuditEntry } from "./entry.ts";

/** Entries wait so long for others to come along: each shipment costs an alarm and a query. */
const GATHER_MS = 10_000;
/** After a failure, doubling up to the last. */
const RETRY_MS = 5_000;
const MAX_RETRY_MS = 300_000;
/** Entries of one shipment. */
const ENTRIES = 500;

export type AuditShippingOptions = {
  chain: AuditChain;
  now(): number;
  /** Runs `change` in one transaction. */
  write(change: () => void): void;
  /** Saves entries in D1; may be told them twice. */
  archive(entries: readonly AuditEntry[]): Promise<void>;
  /** Has `run` called at this time (ms), or before. */
  ring(at: number): void;
};

export class AuditShipping {
  readonly #options: AuditShippingOptions;
  #shipAt = 0;
  #failures = 0;

  constructor(options: AuditShippingOptions) {
    this.#options = options;
  }

  /** When there is something to do next (ms); undefined: nothing. */
  get wakesAt(): number | undefined {
    return this.#options.chain.waiting > 0 ? this.#shipAt : undefined;
  }

  /** An entry was written: it is shipped soon, together with what else comes. */
  soon(): void {
    const { now, ring } = this.#options;
    const at = now();
    if (this.#shipAt < at) this.#shipAt = at + GATHER_MS;
    ring(this.#shipAt);
  }

  async run(now: number): Promise<void> {
    const { chain, write, archive } = this.#options;
    if (now < this.#shipAt) return;
    const entries = chain.unshipped(ENTRIES);
    const last = entries.at(-1);
    if (!last) return;
    try {
      await inPieces(entries, archive);
      write(() => chain.shipped(last.n));
      this.#failures = 0;
      this.#shipAt = now;
    } catch (error) {
      this.#failures += 1;
      this.#shipAt = now + Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (this.#failures - 1));
      log("warn", "the audit could not be shipped; it is kept", { error });
    }
  }
}
