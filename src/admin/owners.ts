// Owners: everybody who has tasks, keys or sessions here, or had.

import { countOf, findOwner, listOwners, type Owner, subjectOfKeys } from "../store/owners.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { text } from "./fields.ts";
import { OwnerAnswer, OwnerList } from "./identity-answers.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime } from "./schemas.ts";

export const ownerRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/owners",
    summary: "List the owners, with how much each has",
    fields: { prefix: text("Whose name begins with this, such as `jwt:`."), ...pageFields },
    answer: OwnerList,
    async handle(deps, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "owners", place: ["string"], values },
        (filter, page) => listOwners(deps.db, filter, page),
      );
      return { owners: await withCounts(deps, rows), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: "/admin/v1/owners/{owner}",
    summary: "See how much an owner has",
    fields: {},
    answer: OwnerAnswer,
    async handle(deps, { path: { owner = "" } }) {
      const row = await findOwner(deps.db, owner);
      const [answer] = row ? await withCounts(deps, [row]) : [];
      if (!answer) throw notFound("owner");
      return answer;
    },
  }),
];

async function withCounts({ db, now }: AdminDeps, rows: readonly Owner[]): Promise<OwnerAnswer[]> {
  const owners = rows.map(({ owner }) => owner);
  const subjects = owners.flatMap((owner) => subjectOfKeys(owner) ?? []);
  const { keys, sessions } = await countOf(db, { owners, subjects }, now());
  return rows.map(({ owner, homes, createdAt }) => ({
    ...{ owner, createdAt: toTime(createdAt), homes },
    apiKeys: keys.get(subjectOfKeys(owner) ?? "") ?? 0,
    sessions: sessions.get(owner) ?? 0,
  }));
}
