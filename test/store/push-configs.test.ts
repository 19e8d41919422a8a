// The index of configs across homes: the newest word on each counts, and how many an endpoint has is always known.

import { env } from "cloudflare:test";
import { beforeEach, describe, expect, it } from "vitest";
import type { Position } from "../../src/store/keyset.ts";
import {
  type ConfigFilter,
  type ConfigRow,
  configsWalk,
  deleteConfigs,
  endpointsWalk,
  findConfig,
  findEndpoint,
  saveConfigs,
  searchConfigs,
  searchEndpoints,
} from "../../src/store/push-configs.ts";
import { plansOf } from "./plans.ts";
import { configRow } from "./rows.ts";

const db = env.DB;

beforeEach(async () => {
  await db.prepare("DELETE FROM push_configs").run();
});

const endpoint = (owner: string, origin: string, active: number, paused = 0, disabled = 0) => ({
  ...{ owner, origin },
  ...{ active, paused, disabled },
});

async function allEndpoints() {
  return (await searchEndpoints(db, {}, { limit: 100 })).rows;
}

describe("saveConfigs", () => {
  it("stores a config as it is, and changes it", async () => {
    const row = configRow();
    await saveConfigs(db, [row]);
    expect(await findConfig(db, row)).toEqual(row);
    const changed = configRow({ state: "disabled", reason: "It answered 410.", updatedAt: 2_000 });
    await saveConfigs(db, [changed]);
    expect(await findConfig(db, row)).toEqual(changed);
  });

  it("changes nothing for what is older than what is stored, and takes what is as old", async () => {
    await saveConfigs(db, [configRow({ state: "paused", updatedAt: 5 })]);
    await saveConfigs(db, [configRow({ state: "active", updatedAt: 4 })]);
    expect((await findConfig(db, configRow()))?.state).toBe("paused");
    await saveConfigs(db, [configRow({ state: "disabled", updatedAt: 5 })]);
    expect((await findConfig(db, configRow()))?.state).toBe("disabled");
  });

  it("keeps configs apart by home, task and id", async () => {
    await saveConfigs(db, [
      configRow(),
      configRow({ home: "b" }),
      configRow({ task: "b" }),
      configRow({ config: "b" }),
    ]);
    expect((await searchConfigs(db, {}, { limit: 10 })).rows).toHaveLength(4);
  });

  it("takes nothing, and thousands", async () => {
    await saveConfigs(db, []);
    await deleteConfigs(db, []);
    const rows = Array.from({ length: 5_000 }, (_, i) =>
      configRow({ config: `c-${i}`, target: "x".repeat(300) }),
    );
    await saveConfigs(db, rows);
    expect(await allEndpoints()).toEqual([endpoint("open::owner", "https://hooks.example", 5_000)]);
    await deleteConfigs(db, rows);
    expect(await allEndpoints()).toEqual([]);
  });

  it("writes five rows for a new config", async () => {
    let written = 0;
    const counting = {
      prepare: (sql: string) => db.prepare(sql),
      batch: async (statements: D1PreparedStatement[]) => {
        const results = await db.batch(statements);
        written += results.reduce((sum, { meta }) => sum + meta.rows_written, 0);
        return results;
      },
    } as unknown as D1Database;
    await saveConfigs(counting, [configRow()]);
    // Its row, three indexes, the endpoint's row and its index.
    expect(written).toBe(6);
    await saveConfigs(counting, [configRow({ config: "second" })]);
    expect(written).toBe(6 + 5);
  });
});

describe("endpoints", () => {
  const at = (origin: string, more: Partial<ConfigRow> = {}) => configRow({ origin, ...more });

  it("count their configs by state, whatever is saved twice, changed, moved or deleted", async () => {
    await saveConfigs(db, [
      at("https://a"),
      at("https://a", { config: "2" }),
      at("https://b", { config: "3" }),
    ]);
    await saveConfigs(db, [at("https://a")]);
    expect(await allEndpoints()).toEqual([
      endpoint("open::owner", "https://a", 2),
      endpoint("open::owner", "https://b", 1),
    ]);
    await saveConfigs(db, [
      at("https://a", { state: "paused", updatedAt: 2_000 }),
      at("https://a", { config: "2", state: "disabled", updatedAt: 2_000 }),
    ]);
    expect(await findEndpoint(db, "open::owner", "https://a")).toEqual(
      endpoint("open::owner", "https://a", 0, 1, 1),
    );
    await saveConfigs(db, [at("https://b", { state: "paused", updatedAt: 3_000 })]);
    expect(await allEndpoints()).toEqual([
      endpoint("open::owner", "https://a", 0, 0, 1),
      endpoint("open::owner", "https://b", 1, 1),
    ]);
    await deleteConfigs(db, [
      configRow({ config: "2" }),
      configRow({ config: "2" }),
      configRow({ config: "none" }),
    ]);
    await deleteConfigs(db, [configRow({ config: "2" })]);
    expect(await allEndpoints()).toEqual([endpoint("open::owner", "https://b", 1, 1)]);
    expect(await findEndpoint(db, "open::owner", "https://a")).toBeUndefined();
  });

  it("are listed in order, by owner, by origin, page by page", async () => {
    const rows = ["a", "b", "c"].flatMap((owner) =>
      ["https://1", "https://2"].map((origin) => configRow({ owner, origin, config: `${owner}${origin}` })),
    );
    await saveConfigs(db, rows);
    const names = (found: { owner: string; origin: string }[]) => found.map((e) => `${e.owner} ${e.origin}`);
    const first = await searchEndpoints(db, {}, { limit: 4 });
    const second = await searchEndpoints(db, {}, { limit: 4, after: first.next });
    expect(names([...first.rows, ...second.rows])).toEqual(rows.map((row) => `${row.owner} ${row.origin}`));
    expect(second.next).toBeUndefined();
    expect(names((await searchEndpoints(db, { owner: "b" }, { limit: 4 })).rows)).toEqual([
      "b https://1",
      "b https://2",
    ]);
    const byOrigin = await searchEndpoints(db, { origin: "https://2" }, { limit: 2 });
    expect(names(byOrigin.rows)).toEqual(["a https://2", "b https://2"]);
    const rest = await searchEndpoints(db, { origin: "https://2" }, { limit: 2, after: byOrigin.next });
    expect(names(rest.rows)).toEqual(["c https://2"]);
    const both = await searchEndpoints(db, { owner: "c", origin: "https://1" }, { limit: 2 });
    expect(names(both.rows)).toEqual(["c https://1"]);
  });
});

describe("searchConfigs", () => {
  const states = ["active", "active", "paused", "disabled"] as const;
  const rows = Array.from({ length: 120 }, (_, i) =>
    configRow({
      home: `home-${i % 4}`,
      task: `task-${i % 12}`,
      config: `config-${String(i).padStart(3, "0")}`,
      owner: `owner-${i % 4}`,
      origin: `https://host-${i % 5}`,
      state: states[i % states.length] ?? "active",
    }),
  );
  const filters: ConfigFilter[] = [undefined, "owner-1"].flatMap((owner) =>
    [undefined, "https://host-2"].flatMap((origin) =>
      [undefined, "task-5", "task-0"].flatMap((task) =>
        ([undefined, "active", "paused", "disabled"] as const).map((state) => ({
          owner,
          origin,
          task,
          state,
        })),
      ),
    ),
  );
  const place = ({ home, task, config }: ConfigRow) => `${home} ${task} ${config}`;

  it("finds with every combination of filters what fits, in order, each once", async () => {
    await saveConfigs(db, rows);
    for (const filter of filters) {
      const found: ConfigRow[] = [];
      let after: Position | undefined;
      do {
        const page = await searchConfigs(db, filter, { after, limit: 7 });
        found.push(...page.rows);
        after = page.next;
      } while (after !== undefined);
      const expected = rows.filter((row) =>
        Object.entries(filter).every(
          ([name, value]) => value === undefined || row[name as keyof ConfigRow] === value,
        ),
      );
      expect(found.map(place), JSON.stringify(filter)).toEqual(expected.map(place).toSorted());
    }
  });

  it("walks an index in the order of the list with every combination: no scan, no sorting", async () => {
    const walks = [
      ...filters.map(configsWalk),
      ...[{}, { owner: "o" }, { origin: "x" }, { owner: "o", origin: "x" }].map(endpointsWalk),
    ];
    for (const walk of walks) {
      for (const after of [undefined, walk.order.map(() => "m")]) {
        for (const plan of await plansOf(db, walk, { limit: 50, after })) {
          expect(plan, JSON.stringify(walk)).toContain(`SEARCH ${walk.table} USING`);
          expect(plan.replaceAll("SCAN walked", ""), JSON.stringify(walk)).not.toMatch(/SCAN|TEMP B-TREE/);
        }
      }
    }
  });
});
