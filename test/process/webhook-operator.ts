// The operators' API of a local server, as far as tests ask it.

import { readFile } from "node:fs/promises";
import { secretsFile } from "../../scripts/local-secrets.ts";

/** A row of the history. */
export type Delivery = {
  notification: string;
  sequence: number;
  attempt: number;
  outcome: string;
  status: number | null;
  error: string | null;
  task: string;
  config: string;
  plannedAt: string;
  startedAt: string;
  durationMs: number;
};

export type DeadLetter = {
  id: string;
  task: string;
  config: string;
  state: string;
  reason: string;
  error: string | null;
  status: number | null;
  attempts: number;
};

export type Operator = {
  /** One request to the operators' API. */
  get<T>(path: string, query?: Record<string, string>): Promise<T>;
  post<T>(path: string, body?: object): Promise<T>;
  /** The history of attempts, newest first. */
  deliveries(query?: Record<string, string>): Promise<Delivery[]>;
  deadLetters(query?: Record<string, string>): Promise<DeadLetter[]>;
  /** The value of a metric, by its name and labels as exposed; 0: it is not there. */
  metric(key: string): Promise<number>;
};

export async function createOperator(url: string, stateDir: string): Promise<Operator> {
  const { ADMIN_KEY } = JSON.parse(await readFile(secretsFile(stateDir), "utf8")) as { ADMIN_KEY: string };
  const ask = async (path: string, init: RequestInit = {}) => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" };
    const response = await fetch(`${url}${path}`, { ...init, headers });
    const text = await response.text();
    if (!response.ok) throw new Error(`${path} was answered with ${response.status}: ${text}`);
    return text;
  };
  const get = async <T>(path: string, query: Record<string, string> = {}) =>
    JSON.parse(await ask(`${path}?${new URLSearchParams(query)}`)) as T;
  const all = async <K extends string, T>(path: string, key: K, query: Record<string, string> = {}) => {
    const rows: T[] = [];
    let pageToken: string | undefined;
    do {
      const page: Record<K, T[]> & { nextPageToken: string } = await get(path, {
        ...query,
        pageSize: "100",
        ...(pageToken && { pageToken }),
      });
      rows.push(...page[key]);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return rows;
  };
  return {
    get,
    post: async (path, body = {}) =>
      JSON.parse(await ask(path, { method: "POST", body: JSON.stringify(body) })),
    deliveries: (query) => all<"deliveries", Delivery>("/admin/v1/deliveries", "deliveries", query),
    deadLetters: (query) => all<"deadLetters", DeadLetter>("/admin/v1/dead-letters", "deadLetters", query),
    async metric(key) {
      const lines = (await ask("/metrics")).split("\n");
      return Number(lines.find((line) => line.startsWith(`${key} `))?.slice(key.length + 1) ?? 0);
    },
  };
}
