// Endpoints: where an owner's notifications go, by origin. D1 knows which there are, the EndpointObject how one fares.

import { endpointName } from "../delivery/exchange.ts";
import {
  type Endpoint as EndpointRow,
  findEndpoint,
  searchConfigs,
  searchEndpoints,
} from "../store/push-configs.ts";
import { ChallengeOutcome, type Endpoint, EndpointList, EndpointStatus } from "./config-answers.ts";
import { type AdminDeps, notFound } from "./deps.ts";
import { invalid, text } from "./fields.ts";
import { pageFields, readPage } from "./pages.ts";
import { type AnyRoute, route } from "./routes.ts";
import { toTime, toTimeOrNull } from "./schemas.ts";

const ONE = "/admin/v1/endpoints/{owner}/{origin}";

type Path = Readonly<Record<string, string>>;

export const endpointRoutes: readonly AnyRoute[] = [
  route({
    verb: "GET",
    path: "/admin/v1/endpoints",
    summary: "List the endpoints that have push notification configs",
    fields: {
      owner: text("Of this owner."),
      origin: text("At this origin, such as `https://hooks.example.com`."),
      ...pageFields,
    },
    answer: EndpointList,
    async handle({ db }, { values }) {
      const { rows, nextPageToken } = await readPage(
        { list: "endpoints", place: ["string", "string"], values },
        (filter, page) => searchEndpoints(db, filter, page),
      );
      return { endpoints: rows.map(toEndpoint), nextPageToken };
    },
  }),
  route({
    verb: "GET",
    path: ONE,
    summary: "See how an endpoint fares: circuit breakers, limits, what is under way",
    fields: {},
    answer: EndpointStatus,
    handle: async (deps, { path }) => toStatus(deps, await find(deps, path)),
  }),
  route({
    verb: "POST",
    path: `${ONE}:pause`,
    summary: "Send nothing to an endpoint until it is resumed",
    description: "What is under way ends. Notifications wait in their homes and use up no attempt.",
    fields: {},
    answer: EndpointStatus,
    async handle(deps, { path }) {
      const endpoint = await find(deps, path);
      await objectOf(deps, endpoint).pause();
      return toStatus(deps, endpoint);
    },
  }),
  route({
    verb: "POST",
    path: `${ONE}:resume`,
    summary: "Send to an endpoint again",
    fields: {},
    answer: EndpointStatus,
    async handle(deps, { path }) {
      const endpoint = await find(deps, path);
      await objectOf(deps, endpoint).resume();
      return toStatus(deps, endpoint);
    },
  }),
  route({
    verb: "POST",
    path: `${ONE}:challenge`,
    summary: "Have an endpoint echo a validation challenge now",
    fields: { url: text("The webhook to ask, of this origin. Default: that of one of its configs.") },
    answer: ChallengeOutcome,
    async handle(deps, { path, values }) {
      const endpoint = await find(deps, path);
      const { origin } = endpoint;
      if (values.url !== undefined && URL.parse(values.url)?.origin !== origin) {
        throw invalid("url", "must be a URL of this origin");
      }
      const url = values.url ?? (await anyTarget(deps, endpoint));
      const asked = await objectOf(deps, endpoint).challengeNow(url, true);
      return asked.ok
        ? { passed: true, validatedUntil: toTime(asked.value.validatedUntil), error: null }
        : { passed: false, validatedUntil: null, error: asked.error.error };
    },
  }),
];

/** Only endpoints that have configs: any other name would make an object. */
async function find({ db }: AdminDeps, { owner = "", origin = "" }: Path): Promise<EndpointRow> {
  const endpoint = await findEndpoint(db, owner, origin);
  if (!endpoint) throw notFound("endpoint");
  return endpoint;
}

function objectOf({ endpointAt }: AdminDeps, { owner, origin }: EndpointRow) {
  return endpointAt(endpointName(owner, origin));
}

async function anyTarget({ db }: AdminDeps, { owner, origin }: EndpointRow): Promise<string> {
  const { rows } = await searchConfigs(db, { owner, origin }, { limit: 1 });
  // The last config may have gone in this moment.
  return rows[0]?.target ?? origin;
}

function toEndpoint({ owner, origin, ...configs }: EndpointRow): Endpoint {
  return { owner, origin, configs };
}

async function toStatus(deps: AdminDeps, endpoint: EndpointRow): Promise<EndpointStatus> {
  const health = await objectOf(deps, endpoint).health();
  const { challenge, lastError, inFlight, queued } = health;
  return {
    ...toEndpoint(endpoint),
    pausedAt: toTimeOrNull(health.pausedAt),
    validatedUntil: toTimeOrNull(health.validatedUntil),
    challenge: challenge && { failedAt: toTime(challenge.failedAt), error: challenge.error },
    lastError: lastError && { ...lastError, at: toTime(lastError.at) },
    inFlight,
    queued,
    targets: health.targets.map((target) => ({ ...target, holdUntil: toTimeOrNull(target.holdUntil) })),
  };
}
