// Configs one by one: health, pausing, secrets that rotate with an overlap, and replays.

import { beforeEach, describe, expect, it } from "vitest";
import { type PushSecrets, sealingContext } from "../../src/delivery/push-secrets.ts";
import { parseKeyRing } from "../../src/keys/ring.ts";
import { open, seal } from "../../src/keys/sealing.ts";
import { err, ok } from "../../src/lib/result.ts";
import { failure } from "../../src/protocol/errors.ts";
import { saveConfigs } from "../../src/store/push-configs.ts";
import { configRow } from "../store/rows.ts";
import { BY, createOperator, health, startAfresh } from "./operator.ts";

const ONE = "/configs/home/0-task/config";
const KEY = { task: "0-task", config: "config" };

const { db, ring } = createOperator().deps;

beforeEach(async () => {
  await startAfresh();
  await saveConfigs(db, [
    configRow(),
    configRow({ config: "x:pause/ü" }),
    configRow({ config: "off", state: "disabled", reason: "It answered 410." }),
  ]);
});

describe("GET /admin/v1/configs", () => {
  it("lists them, page by page, by what is asked for", async () => {
    const operator = createOperator();
    const first = await operator.result<{ configs: { config: string }[]; nextPageToken: string }>(
      "GET",
      "/configs?pageSize=2",
    );
    const second = await operator.result<typeof first>(
      "GET",
      `/configs?pageSize=2&pageToken=${first.nextPageToken}`,
    );
    expect([...first.configs, ...second.configs].map(({ config }) => config)).toEqual([
      "config",
      "off",
      "x:pause/ü",
    ]);
    expect(second.nextPageToken).toBe("");
    expect(await operator.result("GET", "/configs?state=disabled&task=0-task")).toMatchObject({
      configs: [
        {
          ...{ home: "home", task: "0-task", config: "off", state: "disabled", reason: "It answered 410." },
          createdAt: "1970-01-01T00:00:01.000Z",
        },
      ],
    });
  });
});

describe("one config", () => {
  it("tells how its deliveries fare", async () => {
    const operator = createOperator();
    expect(await operator.result("GET", ONE)).toMatchObject({
      ...{ home: "home", owner: "open::owner", state: "active" },
      health: { pending: 2, oldestPendingAt: "1970-01-01T00:00:02.000Z", lastStatus: 503, lastError: null },
    });
    expect(operator.homes).toEqual({ home: [["deliveryHealth", KEY]] });
  });

  it("tells it when nothing has happened yet", async () => {
    const never = { stateAt: null, oldestPendingAt: null, nextAttemptAt: null, failingSince: null };
    const nothing = { ...health, ...never, lastAttemptAt: null, lastStatus: null };
    const operator = createOperator({ home: { deliveryHealth: async () => ok(nothing) } });
    expect(await operator.result("GET", ONE)).toMatchObject({ health: { ...never, lastAttemptAt: null } });
  });

  it.each([
    ["pause", "paused"],
    ["resume", "active"],
  ])("is told to %s, and shows its state at once, before D1 has heard of it", async (verb, state) => {
    const operator = createOperator();
    expect(await operator.result("POST", `${ONE}:${verb}`)).toMatchObject({ state, health: { state } });
    expect(operator.homes).toEqual({ home: [["setDelivery", { ...KEY, by: BY, state }]] });
  });

  it("is found by an id that looks like a path and a verb", async () => {
    const operator = createOperator();
    const path = `/configs/home/0-task/${encodeURIComponent("x:pause/ü")}`;
    expect(await operator.result("GET", path)).toMatchObject({ config: "x:pause/ü" });
    expect(await operator.result("POST", `${path}:pause`)).toMatchObject({ config: "x:pause/ü" });
  });

  it("that D1 does not know is not there, and no home is asked", async () => {
    const operator = createOperator();
    for (const path of [
      "/configs/other/0-task/config",
      "/configs/home/1-task/config",
      "/configs/home/0-task/x",
    ]) {
      expect((await operator.refusal("GET", path)).status).toBe(404);
      for (const verb of ["pause", "resume", "rotateSecret"]) {
        expect((await operator.refusal("POST", `${path}:${verb}`)).status).toBe(404);
      }
    }
    expect(operator.homes).toEqual({});
  });

  it("that its home does not know any more is answered as the home says", async () => {
    const gone = failure("NOT_FOUND", { message: "Push notification config not found" });
    const operator = createOperator({ home: { deliveryHealth: async () => err(gone) } });
    expect(await operator.refusal("GET", ONE)).toMatchObject({ status: 404, message: gone.message });
  });
});

describe(":rotateSecret", () => {
  const DAY = 86_400_000;
  const context = sealingContext(KEY.task, KEY.config);
  const sealed = (secrets: PushSecrets) => seal(ring, JSON.stringify(secrets), context);

  /** A home that keeps sealed secrets (which its owner changes to `changes` after they were read), and an operator. */
  function setUp(was: string | null, changes?: string) {
    const now = 10 * DAY;
    const kept = { sealed: was };
    const operator = createOperator({
      now: () => now,
      home: {
        sealedSecrets: async () => {
          const read = kept.sealed;
          kept.sealed = changes ?? read;
          return ok({ sealed: read });
        },
        rotateSecret: async (query) => {
          if (query.was !== kept.sealed) return err(failure("UNAVAILABLE"));
          kept.sealed = query.sealed;
          return ok(undefined);
        },
      },
    });
    const secrets = async () => {
      const opened = await open(ring, kept.sealed ?? "", context);
      if (!opened.ok) throw new Error(opened.error);
      return JSON.parse(opened.value) as PushSecrets;
    };
    return { ...operator, secrets, kept };
  }

  it("makes a secret, shows it, and lets the one before sign for a day", async () => {
    const before = { token: "t", secrets: [{ value: "the-first-secret-0" }], headers: { "x-a": "b" } };
    const { result, secrets } = setUp(await sealed(before));
    const { secret, previousValidUntil } = await result<{ secret: string; previousValidUntil: string }>(
      "POST",
      `${ONE}:rotateSecret`,
    );
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(previousValidUntil).toBe(new Date(11 * DAY).toISOString());
    expect(await secrets()).toEqual({
      ...before,
      secrets: [{ value: secret }, { value: "the-first-secret-0", until: 11 * DAY }],
    });
  });

  it("takes the secret and the overlap that it is given", async () => {
    const older = [{ value: "current-secret-000" }, { value: "older-secret-00000", until: 10 * DAY + 500 }];
    const { result, secrets } = setUp(await sealed({ secrets: older }));
    const body = { secret: "a-secret-of-my-own", overlapSeconds: 3_600 };
    expect(await result("POST", `${ONE}:rotateSecret`, body)).toEqual({
      secret: "a-secret-of-my-own",
      previousValidUntil: new Date(10 * DAY + 3_600_000).toISOString(),
    });
    expect((await secrets()).secrets).toEqual([
      { value: "a-secret-of-my-own" },
      { value: "current-secret-000", until: 10 * DAY + 3_600_000 },
      { value: "older-secret-00000", until: 10 * DAY + 500 },
    ]);
  });

  it("gives a first secret to a config without one", async () => {
    const { result, secrets } = setUp(null);
    const answer = await result<{ secret: string }>("POST", `${ONE}:rotateSecret`);
    expect(answer).toMatchObject({ previousValidUntil: null });
    expect(await secrets()).toEqual({ secrets: [{ value: answer.secret }] });
  });

  it("ends the one before at once when there is to be no overlap", async () => {
    const { result, secrets } = setUp(await sealed({ secrets: [{ value: "the-first-secret-0" }] }));
    const answer = await result("POST", `${ONE}:rotateSecret`, { overlapSeconds: 0 });
    expect(answer).toMatchObject({ previousValidUntil: null });
    expect((await secrets()).secrets).toHaveLength(1);
  });

  it("waits while as many secrets sign as may, and ends them all when there is to be no overlap", async () => {
    const older = Array.from({ length: 10 }, (_, n) => ({
      value: `older-secret-0000${n}`,
      until: 11 * DAY + n,
    }));
    const was = await sealed({ secrets: [{ value: "current-secret-000" }, ...older] });
    const { refusal, result, kept, secrets } = setUp(was);
    expect(await refusal("POST", `${ONE}:rotateSecret`)).toMatchObject({
      status: 400,
      message: expect.stringContaining(`from ${new Date(11 * DAY).toISOString()} on`),
    });
    expect(kept.sealed).toBe(was);
    await result("POST", `${ONE}:rotateSecret`, { overlapSeconds: 0 });
    expect((await secrets()).secrets).toHaveLength(1);
  });

  it("never writes over what the owner has changed in the meantime", async () => {
    const theirs = await sealed({ token: "new" });
    const { refusal, kept } = setUp(await sealed({ token: "old" }), theirs);
    expect((await refusal("POST", `${ONE}:rotateSecret`)).status).toBe(503);
    expect(kept.sealed).toBe(theirs);
  });

  it.each([
    ["short", { secret: "fifteen-letters" }, "secret"],
    ["no text", { secret: 1234567890123456 }, "secret"],
    ["the placeholder", { secret: "[redacted]" }, "secret"],
    ["not the base64 that it says it is", { secret: "whsec_0123456789abcdef" }, "secret"],
    ["valid for too long", { overlapSeconds: 30 * 86_400 + 1 }, "overlapSeconds"],
    ["valid for less than nothing", { overlapSeconds: -1 }, "overlapSeconds"],
  ])("refuses a secret that is %s", async (_, body, field) => {
    const { refusal, homes } = setUp(null);
    const answer = await refusal("POST", `${ONE}:rotateSecret`, body);
    expect(answer).toMatchObject({ status: 400, fields: [field] });
    expect(answer.message).not.toContain("0123456789abcdef");
    expect(homes).toEqual({});
  });

  it("does nothing to secrets that it cannot read", async () => {
    const other = parseKeyRing(`9:${btoa("x".repeat(32))}`);
    if (!other.ok) throw new Error(other.error);
    const foreign = await seal(other.value, "{}", context);
    const { refusal, kept } = setUp(foreign);
    expect(await refusal("POST", `${ONE}:rotateSecret`)).toMatchObject({
      status: 400,
      message: expect.stringContaining("ENCRYPTION_KEYS"),
    });
    expect(kept.sealed).toBe(foreign);
  });
});

describe("POST /admin/v1/replays", () => {
  const body = {
    ...{ home: "home", ...KEY },
    ...{ from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00+01:00" },
  };

  it("asks the home to send again, and says how many", async () => {
    const operator = createOperator();
    const answer = await operator.call("POST", "/replays", body);
    expect(answer).toMatchObject({ status: 202, body: { notifications: 3 } });
    const [from, to] = [Date.parse(body.from), Date.parse(body.to)];
    expect(operator.homes).toEqual({ home: [["replay", { ...KEY, by: BY, from, to }]] });
  });

  it("refuses a time that ends before it begins, and a config that is not there", async () => {
    const operator = createOperator();
    const backwards = { ...body, from: body.to, to: body.from };
    expect((await operator.refusal("POST", "/replays", backwards)).fields).toEqual(["to"]);
    expect((await operator.refusal("POST", "/replays", { ...body, config: "x" })).status).toBe(404);
    expect(operator.homes).toEqual({});
  });

  it("answers a home's refusal as it is", async () => {
    const violations = [{ field: "to", description: "selects more than 10000 notifications" }];
    const refused = failure("INVALID_PARAMS", { violations });
    const operator = createOperator({ home: { replay: async () => err(refused) } });
    expect((await operator.refusal("POST", "/replays", body)).fields).toEqual(["to"]);
  });
});
