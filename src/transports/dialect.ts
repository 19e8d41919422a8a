// A dialect is one version of the protocol as clients speak it. The core speaks 1.0 alone: a dialect reads a call into
// an operation of the core with its params, and writes the results, events and refusals that come back.

import type { Config } from "../config.ts";
import { A2AError, type Failure } from "../protocol/errors.ts";
import { type OperationName, operations } from "../protocol/operations.ts";
import type { Schema } from "../protocol/schema.ts";
import { type Version, versionNotSupported } from "../protocol/version.ts";
import { readParams } from "./call.ts";

/** The params of any operation; each of them may name a tenant. */
export type CoreParams = Readonly<Record<string, unknown>> & { readonly tenant?: string };

/** What a call asks of the core. */
export type Reading = {
  readonly operation: OperationName;
  /** Parsed: as the operation's own schema would have them. */
  readonly params: CoreParams;
  /**
   * The operation's result, or one event of its stream, as the dialect says it. Absent: just so. Then nothing is
   * parsed, and the core's bytes are the client's.
   */
  readonly write?: (core: never) => unknown;
  /** What the core has refused, in the names of the dialect. */
  readonly explain?: (failure: Failure) => Failure;
  /** Of a message: see Call. */
  readonly choosesTask?: boolean;
};

export type Method = {
  /** Throws INVALID_PARAMS, in the names of the dialect. */
  read(params: unknown, config: Config): Reading;
  /** Whether errors of a call that came with these headers are answered as an event of the stream that it asks for. */
  readonly failsInStream?: (headers: Headers) => boolean;
  /** Whether such an event comes under the status that the error has in HTTP+JSON. */
  readonly failsByStatus?: boolean;
  /**
   * Of a method whose name a newer dialect has as well: whether params are meant for this one, where no version is
   * named. Others never are.
   */
  readonly recognizes?: (params: unknown) => boolean;
};

export type Dialect = {
  readonly version: Version;
  /** The header that lists extensions, in requests and in answers; in lower case. */
  readonly extensionsHeader: string;
  /** Whether a stream is lines of data and nothing else, since its clients understand no other. */
  readonly hasPlainStreams?: boolean;
  /** By their names in JSON-RPC; in HTTP+JSON, where a path is the name, by that of the operation. */
  readonly methods: ReadonlyMap<string, Method>;
};

/** A method of 1.0 is the operation, and says what the core says. */
function toMethod(operation: OperationName): Method {
  const schema: Schema<CoreParams> = operations[operation].params;
  return { read: (raw, config) => ({ operation, params: readParams(schema, raw, config) }) };
}

/** The version that the core speaks, the same in every binding. */
export const current: Dialect = {
  version: "1.0",
  extensionsHeader: "a2a-extensions",
  methods: new Map(Object.keys(operations).map((name) => [name, toMethod(name as OperationName)])),
};

/**
 * The dialect of a call. `requested` decides; a call that names no version is of the newest that has its method, unless
 * an older one recognizes its params. For a name of 1.0 that is 1.0, although the specification has a missing version
 * mean 0.3 (§3.6.2): no client of 0.3 can have meant it, and many of 1.0 forget the header.
 */
export function chooseDialect<D extends Dialect>(
  dialects: readonly D[],
  served: readonly Version[],
  requested: Version | undefined,
  method: string,
  params: unknown,
): D | undefined {
  if (requested !== undefined) return dialects.find(({ version }) => version === requested);
  const knowing = dialects.filter(({ methods }) => methods.has(method));
  const able = knowing.filter(({ version }) => served.includes(version));
  const recognizes = ({ methods }: D) => methods.get(method)?.recognizes?.(params);
  const chosen =
    able.find((dialect) => recognizes(dialect)) ?? able.find((dialect) => recognizes(dialect) !== false);
  const [unserved] = knowing;
  if (chosen === undefined && unserved) throw A2AError.from(versionNotSupported(unserved.version, served));
  return chosen;
}
