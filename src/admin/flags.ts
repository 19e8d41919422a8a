// Feature flags: what is on, and switching it.

import { features, withFlags } from "../operations/flags.ts";
import { servedVersions } from "../protocol/version.ts";
import { deleteFlag, type FlagRow, readFlags, saveFlag } from "../store/flags.ts";
import type { AdminDeps } from "./deps.ts";
import { notFound } from "./deps.ts";
import { choice, invalid, required } from "./fields.ts";
import { type AnyRoute, route } from "./routes.ts";
import { flag, list, maybeText, maybeTime, named, object, type TypeOf, text, toTime } from "./schemas.ts";

const Flag = named(
  "Flag",
  object({
    name: text,
    description: text,
    /** Whether the settings allow it. */
    allowed: flag,
    /** Whether it is in force. */
    on: flag,
    changedAt: maybeTime,
    changedBy: maybeText,
  }),
);

const WITHIN = "In force everywhere within a minute.";

export const flagRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/flags",
    summary: "List what can be switched off, and whether it is on",
    fields: {},
    answer: object({ flags: list(Flag) }),
    async handle(deps) {
      const rows = await readFlags(deps.db);
      return { flags: [...features.keys()].map((name) => toAnswer(deps, name, rows)) };
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/flags/{flag}:set",
    summary: "Switch a feature off, or on again",
    description: `${WITHIN} What the settings do not allow stays off.`,
    fields: { state: required(choice("Whether it is to be on.", ["on", "off"])) },
    answer: Flag,
    async handle(deps, { path, values, operator }) {
      const name = known(path.flag);
      const isOn = values.state === "on";
      if (!isOn) await requireAnotherVersion(deps, name);
      await saveFlag(deps.db, { name, isOn, changedAt: deps.now(), changedBy: operator.actor });
      return changed(deps, name);
    },
  }),
  route({
    verb: "POST",
    path: "/admin/v1/flags/{flag}:reset",
    summary: "Leave a feature to the settings again",
    description: WITHIN,
    fields: {},
    answer: Flag,
    async handle(deps, { path }) {
      const name = known(path.flag);
      await deleteFlag(deps.db, name);
      return changed(deps, name);
    },
  }),
];

function known(name = ""): string {
  if (!features.has(name)) throw notFound("flag");
  return name;
}

/** A server that speaks no version at all is one that is taken out of service, which is done elsewhere. */
async function requireAnotherVersion({ db, config }: AdminDeps, name: string): Promise<void> {
  const rows = (await readFlags(db)).filter((row) => row.name !== name);
  const left = withFlags(config, [...rows, { name, isOn: false }]);
  if (servedVersions(left).length === 0) throw invalid("state", "would leave no version of A2A to be served");
}

async function changed(deps: AdminDeps, name: string): Promise<TypeOf<typeof Flag>> {
  deps.flagsChanged();
  return toAnswer(deps, name, await readFlags(deps.db));
}

function toAnswer({ config }: AdminDeps, name: string, rows: readonly FlagRow[]): TypeOf<typeof Flag> {
  const feature = features.get(name);
  const row = rows.find((one) => one.name === name);
  const allowed = feature?.allows(config) ?? false;
  return {
    name,
    description: feature?.description ?? "",
    allowed,
    on: allowed && row?.isOn !== false,
    changedAt: row ? toTime(row.changedAt) : null,
    changedBy: row?.changedBy ?? null,
  };
}
