// The one table: a row a figure, a column a server, the ratios beside them, and what must hold.
//
// A ratio is ours divided by theirs: above 1 is good for a rate, below 1 for a time or for memory.

import { readFileSync, writeFileSync } from "node:fs";
import { SERVERS } from "./servers.mjs";

const COLUMNS = ["ours", "memory", "full", "normal"];
const PEERS = ["memory", "full", "normal"];
const START = "<!-- bench:start -->";
const END = "<!-- bench:end -->";

export function createReport() {
  const rows = [];
  const tables = [];
  const failures = {};

  return {
    /** `{ name, unit, values: { ours, memory, full, normal }, targets?: [{ text, holds(values) }] }` */
    add: (row) => rows.push(row),

    /**
     * A table of its own, for figures of one server at several sizes: `{ title, columns, rows }`, a row being
     * `{ name, unit, values, target?: { text, holds(value) } }` with a value a column. A target holds if it does for
     * every column that has a value.
     */
    addTable: (table) => tables.push(table),

    progress: (text) => console.error(`  ${text}`),

    countFailures(name, failed, errors) {
      failures[name] = (failures[name] ?? 0) + failed;
      for (const [message, count] of errors) console.error(`  ${name}: ${count} × ${message}`);
    },

    /** The tables in Markdown. */
    toMarkdown() {
      const failed = {
        name: "Failed or wrong answers, all workloads",
        unit: "count",
        values: failures,
        targets: [{ text: "0", holds: ({ ours }) => ours === 0 }],
      };
      const ratios = PEERS.map((peer) => `÷ ${SERVERS[peer].title.replace("SDK, ", "")}`);
      const header = ["", "", ...COLUMNS.map((name) => SERVERS[name].title), ...ratios, "must hold"];
      const main = align([header, ...[...rows, failed].map(toCells)]);
      return [main, ...tables.map(toTable)].join("\n\n");
    },

    failed: () => (failures.ours ?? 0) > 0,
  };
}

/** Puts the lines between the markers of the page. */
export function writeBetweenMarkers(file, text) {
  const page = readFileSync(file, "utf8");
  const from = page.indexOf(START);
  const to = page.indexOf(END);
  if (from < 0 || to < from) throw new Error(`${file} lacks ${START} … ${END}`);
  writeFileSync(file, `${page.slice(0, from + START.length)}\n\n${text}\n\n${page.slice(to)}`);
}

function toTable({ title, columns, rows }) {
  const cells = rows.map(({ name, unit, values, target }) => {
    const misses = columns.filter((_, n) => target && values[n] !== undefined && !target.holds(values[n]));
    const verdict = misses.length === 0 ? "holds" : `**misses** at ${misses.join(", ")}`;
    return [
      name,
      unit,
      ...columns.map((_, n) => format(values[n])),
      target ? `${target.text}: ${verdict}` : "",
    ];
  });
  return `${title}\n\n${align([["", "", ...columns, "must hold"], ...cells])}`;
}

function toCells({ name, unit, values, targets = [] }) {
  const ours = values.ours;
  const ratios = PEERS.map((peer) => {
    if (unit === "count" || ours === undefined || values[peer] === undefined) return "";
    if (Number.isNaN(ours / values[peer])) return "";
    return `${format(ours / values[peer])} ×`;
  });
  return [
    name,
    unit,
    ...COLUMNS.map((column) => format(values[column])),
    ...ratios,
    verdicts(targets, values),
  ];
}

/** A target that compares with a server left out of this run says nothing. */
function verdicts(targets, values) {
  return targets
    .filter(({ peer }) => values.ours !== undefined && (peer === undefined || values[peer] !== undefined))
    .map(({ text, holds }) => `${text}: ${holds(values) ? "holds" : "**misses**"}`)
    .join("; ");
}

function format(value) {
  if (value === undefined || Number.isNaN(value)) return "";
  if (Number.isInteger(value) || value >= 100) return Math.round(value).toLocaleString("en");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function align(table) {
  const widths = table[0].map((_, column) => Math.max(3, ...table.map((row) => row[column].length)));
  const isText = (column) => column < 2 || column === widths.length - 1;
  const line = (row) =>
    `| ${row.map((cell, n) => (isText(n) ? cell.padEnd(widths[n]) : cell.padStart(widths[n]))).join(" | ")} |`;
  const rule = widths.map((width, n) => (isText(n) ? "-".repeat(width) : `${"-".repeat(width - 1)}:`));
  return [line(table[0]), line(rule), ...table.slice(1).map(line)].join("\n");
}
