// kill -9 of the whole process group at random moments, while webhooks are sent: whatever was acknowledged arrives,
// in order, signed and in the same bytes, and nothing comes after its config was deleted. The receivers survive.
// `KILLS=300 SEED=7 npm run test:kill` kills more often, and otherwise.

import { expect, test } from "vitest";
import { createVerifier, type Jwks } from "../../src/verify/index.ts";
import { killRepeatedly, kills, seed } from "./killing.ts";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { createRandom } from "./random.ts";
import { type Answer, type Receiver, startReceiver } from "./receiver-server.ts";
import { createStateDir, removeStateDir, startServer } from "./server.ts";
import { verify, verifyList } from "./verify.ts";
import { WebhookLedger } from "./webhook-ledger.ts";
import { type Webhook, WebhookLoad } from "./webhook-load.ts";
import { createOperator } from "./webhook-operator.ts";
import { verifyWebhooks } from "./webhook-verify.ts";

const vars = {
  DEFAULT_AGENT: "conformance",
  STEP_MILLISECONDS: "30",
  JOB_WATCH_SECONDS: "1",
  HOME_SHARDS: "2",
  WEBHOOK_RETRY_SECONDS: "0,1,1,2,2,3,3,5,5,5,10,10",
  WEBHOOK_TIMEOUT_SECONDS: "5",
  WEBHOOK_CHALLENGE: "off",
};

/** The receiver that is out of order is so for the first kills of each round. */
const OUTAGE_KILLS = 3;

const SECRET = "a secret for this test only";
const TOKEN = "a token for this test only";
const CREDENTIALS = "credentials, for this test only";

test(`${kills} kills lose no notification (seed ${seed})`, { timeout: kills * 90_000 }, async () => {
  const random = createRandom(seed);
  const stateDir = await createStateDir();
  const ledger = new Ledger();
  const arrived = new WebhookLedger(ledger);
  const receivers: Receiver[] = [];
  let isOut = true;
  let since = Date.now();
  const total = { tasks: 0, configs: 0, notifications: 0, again: 0, refused: 0 };

  const open = async (answers: Record<string, Answer>) => {
    const receiver = await startReceiver((response, received, count) => {
      const name = received.url.slice(1);
      arrived.arrive(name, received);
      answers[name]?.(response, received, count);
    });
    receivers.push(receiver);
    return receiver;
  };
  const takes: Answer = (response) => response.writeHead(204).end();
  const refuses =
    (status: number): Answer =>
    (response) => {
      total.refused += 1;
      response.writeHead(status).end("not now");
    };
  const good = await open({ fine: takes, ends: takes, batched: takes });
  const changing = await open({
    broken: (...it) => (isOut ? refuses(500) : takes)(...it),
    patchy: (response, ...it) => {
      const status = random.chance(0.88) ? 204 : random.pick([500, 502, 503, 408, 425, 429, 0, 0, -1]);
      if (status === 204) takes(response, ...it);
      else if (status > 0) refuses(status)(response, ...it);
      else if (status === 0) response.destroy();
      // Otherwise it never answers.
    },
  });
  const late = await open({ slow: (...it) => setTimeout(() => takes(...it), random.whole(50, 800)) });
  const signed = {
    secret: SECRET,
    token: TOKEN,
    authentication: { scheme: "Bearer", credentials: CREDENTIALS },
  };
  const ends = { events: ["completed", "failed", "canceled", "rejected"] };
  const webhook = ({ origin }: Receiver, name: string, weight: number, options: object = {}): Webhook => ({
    name,
    weight,
    endsOnly: "events" in options,
    config: { url: `${origin}/${name}`, ...options },
  });
  const webhooks = [
    webhook(good, "fine", 5, signed),
    webhook(good, "ends", 2, ends),
    webhook(good, "batched", 3, { batch: { maxEvents: 10, maxWaitMs: 100 } }),
    webhook(changing, "broken", 3),
    webhook(changing, "patchy", 3),
    webhook(late, "slow", 4),
  ];
  const clients = new WebhookLoad(arrived, random, webhooks);
  const load = new Load(ledger, random, clients);

  const check = async (url: string) => {
    const journals = await verify(url, ledger);
    await verifyList(url, ledger);
    const operator = await createOperator(url, stateDir);
    await verifyWebhooks({ ledger, webhooks: arrived, journals, operator, since });
    since = Date.now();
    total.tasks += ledger.tasks.size;
    total.configs += arrived.configs.size;
    for (const config of arrived.configs.values()) {
      const arrivals = arrived.arrivalsOf(config);
      const ids = new Set(arrivals.map(({ id }) => id)).size;
      total.notifications += ids;
      total.again += arrivals.length - ids;
    }
    arrived.settle();
  };

  try {
    // The keys are the server's own, and stay the same.
    const first = await startServer({ mode: "serve", stateDir, vars });
    const jwks = (await (await fetch(`${first.url}/.well-known/jwks.json`)).json()) as Jwks;
    await first.kill9();
    for (const { name, config } of webhooks) {
      const shared = "secret" in config ? { secrets: [SECRET], token: TOKEN } : {};
      arrived.expect(name, createVerifier({ jwks, ...shared }));
    }
    const before = (kill: number) => {
      isOut = kill <= OUTAGE_KILLS;
    };
    await killRepeatedly({ random, ledger, load, stateDir, vars, before, check });
  } finally {
    arrived.stop();
    for (const receiver of receivers) await receiver.close();
    await removeStateDir(stateDir);
  }
  console.log(`${kills} kills:`, { ...total, requests: arrived.requests, ...clients.count });
  // A run in which nothing was at stake proves nothing.
  expect(total.notifications).toBeGreaterThanOrEqual(kills * 20);
  expect(total.refused).toBeGreaterThanOrEqual(kills);
  expect(total.again).toBeGreaterThanOrEqual(kills);
  for (const times of Object.values(clients.count)) expect(times).toBeGreaterThanOrEqual(kills / 10);
});
