// Pages of lists. A page token holds the place of the last row that was shown and a fingerprint of the filters it
// was made with: with other filters it would answer a question that nobody has asked.

import { fromBase64Url, sha256, toBase64Url } from "../lib/bytes.ts";
import type { Found, Page, Position } from "../store/keyset.ts";
import { integer, invalid, text } from "./fields.ts";

const DEFAULT_PAGE_SIZE = 50;
/** Above every token: the longest holds an owner of 6,900 bytes and an origin of 2,048. */
const MAX_TOKEN = 16_384;

export const pageFields = {
  pageSize: integer("Most rows in the answer.", { min: 1, max: 100, default: DEFAULT_PAGE_SIZE }),
  pageToken: text(
    "`nextPageToken` of the page before. All other parameters must be the same as they were there.",
    MAX_TOKEN,
  ),
};

export type PageValues = { pageSize?: number | undefined; pageToken?: string | undefined };

/** The types of the values of a position. */
export type Place = readonly ("number" | "string")[];

/**
 * One page of a list, searched with what `values` says beyond the page. `list` names the list in tokens, `place` is
 * the form of its positions.
 */
export async function readPage<T, V extends PageValues>(
  { list, place, values }: { list: string; place: Place; values: V },
  search: (filter: Omit<V, keyof PageValues>, page: Page) => Promise<Found<T>>,
): Promise<{ rows: T[]; nextPageToken: string }> {
  const { pageSize: limit = DEFAULT_PAGE_SIZE, pageToken, ...filter } = values;
  const sorted = Object.entries(filter).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const fingerprint = (await sha256(JSON.stringify([list, sorted]))).slice(0, 16);
  const after = pageToken === undefined ? undefined : parseToken(pageToken, fingerprint, place);
  const { rows, next } = await search(filter, { after, limit });
  return { rows, nextPageToken: next ? toBase64Url(JSON.stringify([...next, fingerprint])) : "" };
}

function parseToken(token: string, fingerprint: string, place: Place): Position {
  const parsed = readToken(token);
  const position = parsed?.slice(0, -1);
  const isPlace =
    position?.length === place.length && position.every((value, i) => typeof value === place[i]);
  if (!isPlace) throw invalid("pageToken", "was not made for this list");
  if (parsed?.at(-1) !== fingerprint) throw invalid("pageToken", "was made for a list with other filters");
  return position as Position;
}

function readToken(token: string): unknown[] | undefined {
  try {
    const parsed: unknown = JSON.parse(fromBase64Url(token) ?? "");
    return Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
