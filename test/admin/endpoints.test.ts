// Endpoints as operators see and handle them: listed from D1, the rest asked of the EndpointObject.

import { beforeEach, describe, expect, it } from "vitest";
import { err } from "../../src/lib/result.ts";
import { deleteConfigs, saveConfigs } from "../../src/store/push-configs.ts";
import { configRow } from "../store/rows.ts";
import { createOperator, endpointHealth, startAfresh } from "./operator.ts";

const ONE = "/endpoints/open%3A%3Aowner/https%3A%2F%2Fhooks.example";
const NAME = "open::owner|https://hooks.example";

const db = createOperator().deps.db;

beforeEach(async () => {
  await startAfresh();
  await saveConfigs(db, [
    configRow(),
    configRow({ config: "second", state: "disabled" }),
    configRow({
      config: "third",
      origin: "https://other.example:8443",
      target: "https://other.example:8443/",
    }),
    configRow({ config: "fourth", owner: "key::team/a%20b" }),
  ]);
});

describe("GET /admin/v1/endpoints", () => {
  const list = async (query: string) => {
    const { endpoints, nextPageToken } = await createOperator().result<{
      endpoints: { owner: string; origin: string }[];
      nextPageToken: string;
    }>("GET", `/endpoints${query}`);
    return { names: endpoints.map(({ owner, origin }) => `${owner} ${origin}`), nextPageToken, endpoints };
  };

  it("lists who sends where, with the configs by state", async () => {
    const { endpoints } = await list("");
    expect(endpoints).toEqual([
      {
        owner: "key::team/a%20b",
        origin: "https://hooks.example",
        configs: { active: 1, paused: 0, disabled: 0 },
      },
      {
        owner: "open::owner",
        origin: "https://hooks.example",
        configs: { active: 1, paused: 0, disabled: 1 },
      },
      {
        owner: "open::owner",
        origin: "https://other.example:8443",
        configs: { active: 1, paused: 0, disabled: 0 },
      },
    ]);
  });

  it("filters by owner and origin, page by page", async () => {
    expect((await list("?owner=open::owner")).names).toHaveLength(2);
    const first = await list("?origin=https://hooks.example&pageSize=1");
    expect(first.names).toEqual(["key::team/a%20b https://hooks.example"]);
    const second = await list(`?origin=https://hooks.example&pageSize=1&pageToken=${first.nextPageToken}`);
    expect(second.names).toEqual(["open::owner https://hooks.example"]);
    expect(second.nextPageToken).toBe("");
  });
});

describe("one endpoint", () => {
  it("tells how it fares", async () => {
    const operator = createOperator();
    expect(await operator.result("GET", ONE)).toEqual({
      owner: "open::owner",
      origin: "https://hooks.example",
      configs: { active: 1, paused: 0, disabled: 1 },
      pausedAt: null,
      validatedUntil: "1970-01-01T00:00:09.000Z",
      challenge: { failedAt: "1970-01-01T00:00:00.500Z", error: "timeout" },
      lastError: { at: "1970-01-01T00:00:00.400Z", status: 500, error: null },
      inFlight: 1,
      queued: 0,
      targets: [
        {
          target: "https://hooks.example/a",
          breaker: "open",
          holdUntil: "1970-01-01T00:00:05.000Z",
          holdReason: "breaker_open",
          tokensLeft: 3,
        },
      ],
    });
    expect(operator.endpoints).toEqual({ [NAME]: [["health"]] });
  });

  it("tells it when there is nothing to tell", async () => {
    const quiet = { ...endpointHealth, validatedUntil: null, challenge: null, lastError: null, targets: [] };
    const operator = createOperator({ endpoint: { health: async () => quiet } });
    expect(await operator.result("GET", ONE)).toMatchObject({
      challenge: null,
      lastError: null,
      targets: [],
    });
  });

  it("is found by a name with slashes and percent signs in it", async () => {
    const operator = createOperator();
    const owner = encodeURIComponent("key::team/a%20b");
    await operator.result("GET", `/endpoints/${owner}/https%3A%2F%2Fhooks.example`);
    expect(Object.keys(operator.endpoints)).toEqual(["key::team/a%20b|https://hooks.example"]);
  });

  it.each(["pause", "resume"] as const)("is told to %s, and answers how it is then", async (verb) => {
    const paused = { ...endpointHealth, pausedAt: 7_000 };
    const operator = createOperator({ endpoint: { health: async () => paused } });
    expect(await operator.result("POST", `${ONE}:${verb}`)).toMatchObject({
      pausedAt: "1970-01-01T00:00:07.000Z",
    });
    expect(operator.endpoints).toEqual({ [NAME]: [[verb], ["health"]] });
  });

  it("that nobody has configured is not there, and no object is made for it", async () => {
    const operator = createOperator();
    await deleteConfigs(db, [configRow(), configRow({ config: "second" })]);
    for (const path of [ONE, "/endpoints/nobody/https%3A%2F%2Fhooks.example"]) {
      expect((await operator.refusal("GET", path)).status).toBe(404);
      for (const verb of ["pause", "resume", "challenge"]) {
        expect((await operator.refusal("POST", `${path}:${verb}`)).status).toBe(404);
      }
    }
    expect(operator.endpoints).toEqual({});
  });
});

describe(":challenge", () => {
  it("asks at the URL of one of the configs, afresh, and says that it passed", async () => {
    const operator = createOperator();
    expect(await operator.result("POST", `${ONE}:challenge`)).toEqual({
      passed: true,
      validatedUntil: "1970-01-01T00:00:08.000Z",
      error: null,
    });
    expect(operator.endpoints[NAME]).toEqual([["challengeNow", "https://hooks.example/a", true]]);
  });

  it("asks at the URL that it is given, if that is of the origin", async () => {
    const operator = createOperator();
    await operator.result("POST", `${ONE}:challenge`, { url: "https://hooks.example/b?key=1" });
    expect(operator.endpoints[NAME]).toEqual([["challengeNow", "https://hooks.example/b?key=1", true]]);
    for (const url of [
      "https://evil.example/",
      "http://hooks.example/",
      "https://hooks.example:8443/",
      "x",
    ]) {
      expect((await operator.refusal("POST", `${ONE}:challenge`, { url })).fields).toEqual(["url"]);
    }
    expect(operator.endpoints[NAME]).toHaveLength(1);
  });

  it("says why it failed", async () => {
    const operator = createOperator({
      endpoint: { challengeNow: async () => err({ error: "dns_failure" }) },
    });
    expect(await operator.result("POST", `${ONE}:challenge`)).toEqual({
      passed: false,
      validatedUntil: null,
      error: "dns_failure",
    });
  });
});
