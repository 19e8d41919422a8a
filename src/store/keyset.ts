// Reads lists page by page in the order of an index, from where the page before ended (a keyset, not an offset: page
// 1,000 costs what page 1 costs, and rows that come or go move no other).
//
// A search may ask for more than its index narrows. The rest is checked along the way, over at most WALK entries of
// the index; then the page is short, or empty, and says where to go on. Otherwise one search for what is not there
// would read a million rows.

export type Value = string | number;

/** Of one column: what it must fulfil. `test` is SQL, with a `?` if there is a value. */
export type Condition = { column: string; test: string; value?: Value };

/** A row's place in the order of a list: the values of its key. */
export type Position = readonly Value[];

export type Page = {
  /** The place of the last row that is known already. */
  after?: Position | undefined;
  /** Most rows wanted. */
  limit: number;
};

export type Found<T> = {
  rows: T[];
  /** Where the next page begins; undefined: there is none. */
  next: Position | undefined;
};

export type Walk = {
  table: string;
  /** Undefined: the primary key of a table without rowid. */
  index: string | undefined;
  /** The columns that order the list; together they are unique. */
  order: readonly string[];
  descending: boolean;
  /** What is answered, as SQL. */
  columns: string;
  /** The columns of the primary key. */
  key: readonly string[];
  /** What the index narrows. */
  within: readonly Condition[];
  /** What is checked along the way. */
  checks: readonly Condition[];
};

export type Statement = { sql: string; bindings: Value[] };

/** Entries of an index that one page may look at. */
export const WALK = 2_000;

/** The statements of a page: its rows, and with checks also the place where the walk ended. */
export function toStatements(walk: Walk, { after, limit }: Page): Statement[] {
  const { table, index, order, descending, columns, key, within, checks } = walk;
  const source = index === undefined ? table : `${table} INDEXED BY ${index}`;
  const place = order.map(() => "?").join(", ");
  const keyset = after ? [`(${order.join(", ")}) ${descending ? "<" : ">"} (${place})`] : [];
  const conditions = [...within.map(toSql), ...keyset].join(" AND ");
  const bindings = [...within.flatMap(valuesOf), ...(after ?? [])];
  const by = (prefix: string) =>
    `ORDER BY ${order.map((column) => `${prefix}${column}${descending ? " DESC" : ""}`).join(", ")}`;
  const from = (selected: readonly string[]) =>
    `SELECT ${selected.join(", ")} FROM ${source} WHERE ${conditions} ${by("")}`;
  if (checks.length === 0) {
    return [{ sql: `${from([columns])} LIMIT ?`, bindings: [...bindings, limit + 1] }];
  }
  // Only what is checked is read of the entries on the way, so that the index may answer for it.
  const inner = from([...new Set([...key, ...order, ...checks.map(({ column }) => column)])]);
  const same = key.map((column) => `${table}.${column} = walked.${column}`).join(" AND ");
  return [
    {
      sql: `SELECT ${qualify(columns, table)} FROM (${inner} LIMIT ?) walked
            CROSS JOIN ${table} ON ${same}
            WHERE ${checks.map((check) => `walked.${toSql(check)}`).join(" AND ")} ${by("walked.")} LIMIT ?`,
      bindings: [...bindings, WALK, ...checks.flatMap(valuesOf), limit + 1],
    },
    { sql: `${from(order)} LIMIT 1 OFFSET ?`, bindings: [...bindings, WALK - 1] },
  ];
}

/** The rows of a page; `placeOf` says where a row stands. */
export async function readPage<T>(
  db: D1Database,
  walk: Walk,
  page: Page,
  placeOf: (row: T) => Position,
): Promise<Found<T>> {
  const statements = toStatements(walk, page).map(({ sql, bindings }) => db.prepare(sql).bind(...bindings));
  const [found, end] = await db.batch<T>(statements);
  const rows = found?.results.slice(0, page.limit) ?? [];
  const last = rows.at(-1);
  if (last !== undefined && (found?.results.length ?? 0) > page.limit) return { rows, next: placeOf(last) };
  const walked = end?.results[0] as Record<string, Value> | undefined;
  return { rows, next: walked && walk.order.map((column) => walked[column] ?? "") };
}

/** Equality of a column, if a value is asked for. */
export function equal(column: string, value: Value | undefined): Condition[] {
  return value === undefined ? [] : [{ column, test: "= ?", value }];
}

/** `column` from `from` (inclusive) to `to` (exclusive); always bounded below, so that an index is searched. */
export function between(column: string, from: number | undefined, to: number | undefined): Condition[] {
  const lower = { column, test: ">= ?", value: from ?? 0 };
  return to === undefined ? [lower] : [lower, { column, test: "< ?", value: to }];
}

function toSql({ column, test }: Condition): string {
  return `${column} ${test}`;
}

function valuesOf({ value }: Condition): Value[] {
  return value === undefined ? [] : [value];
}

/** Names such as `id` are in both tables of a join. */
function qualify(columns: string, table: string): string {
  return columns
    .split(", ")
    .map((column) => `${table}.${column}`)
    .join(", ");
}
