// What is answered about the audit.

import {
  count,
  flag,
  list,
  maybe,
  maybeText,
  named,
  nextPageToken,
  object,
  oneOf,
  open,
  type TypeOf,
  text,
  time,
} from "./schemas.ts";

const AuditEntry = named(
  "AuditEntry",
  object({
    chain: text,
    n: count,
    at: time,
    kind: text,
    owner: maybeText,
    actor: maybeText,
    agent: maybeText,
    task: maybeText,
    config: maybeText,
    detail: open({}),
    hash: text,
  }),
);

export const AuditList = named("AuditList", object({ entries: list(AuditEntry), nextPageToken }));

/** One of many lines: members that there are not are absent, and times are in ms. */
export const AuditLine = named(
  "AuditLine",
  open({ chain: text, n: count, at: count, since: count, kind: text, hash: text }),
);

export const ChainReport = named(
  "ChainReport",
  object({
    chain: text,
    ok: flag,
    from: count,
    to: count,
    break: maybe(
      object({ n: count, reason: oneOf(["missing", "changed", "not_the_head", "trimmed_early"]) }),
    ),
    nextPageToken,
  }),
);
export type ChainReport = TypeOf<typeof ChainReport>;
