// What authentication costs: SendMessage to three servers that differ only in how their callers say who they are.
//
// All three are ours, side by side in one run, so the ratios are of the same machine at the same time. The credential
// is the same one in every request, as a client's is: what is measured is the warm case.

import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { SignJWT } from "jose";
import { createCalls } from "../a2a.mjs";
import { compare, warmUp } from "../compare.mjs";
import { createState, startContenders, stopServers } from "../servers.mjs";

const CONNECTIONS = [1, 10, 100];
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const AUDIENCE = "https://agents.bench.example";
const WAYS = { open: "open", key: "API key", jwt: "JWT" };

export async function auth(plan, report) {
  if (!plan.servers.includes("ours")) return;
  const issuer = await startIssuer();
  const keyState = createState("key");
  const credentials = { key: makeKey(keyState), jwt: await issuer.sign() };
  const servers = await startContenders({
    open: { server: "ours" },
    key: { server: "ours", state: keyState, env: { AUTH_MODE: "api-key" } },
    jwt: { server: "ours", env: { AUTH_MODE: "jwt", JWT_ISSUERS: JSON.stringify([issuer.settings]) } },
  });
  try {
    const contenders = Object.keys(WAYS).map((name) => ({
      name,
      server: servers[name],
      createCall: (client) => {
        const { paths } = servers[name];
        const calls = createCalls(client, { paths, owner: "bench", credential: credentials[name] });
        return async (n) => void (await calls.sendEcho(n));
      },
    }));
    // All three are ours: an answer that one of them owes is owed by us.
    const counting = {
      ...report,
      countFailures: (name, failed, errors) =>
        report.countFailures(
          "ours",
          failed,
          new Map([...errors].map(([text, n]) => [`${name}: ${text}`, n])),
        ),
    };
    await warmUp(contenders, plan);
    const rates = {};
    for (const connections of CONNECTIONS) {
      report.progress(`authentication, ${connections} connections`);
      const durationMs = plan.sliceMs[connections];
      const slices = contenders.map((contender) => ({ ...contender, connections, durationMs }));
      rates[connections] = await compare(slices, plan, counting);
    }
    report.addTable(toTable(rates));
  } finally {
    await stopServers(servers);
    issuer.close();
  }
}

function toTable(rates) {
  const values = (figure) => CONNECTIONS.map((at) => figure(rates[at]));
  const ways = Object.entries(WAYS);
  return {
    title: "SendMessage with a known credential, by connections:",
    columns: CONNECTIONS.map(String),
    rows: [
      ...ways.map(([way, name]) => ({ name, unit: "req/s", values: values((at) => at[way].rate) })),
      ...ways
        .filter(([way]) => way !== "open")
        .map(([way, name]) => ({
          name: `${name} ÷ open`,
          unit: "share",
          values: values((at) => at[way].rate / at.open.rate),
          target: { text: "≥ 0.85", holds: (share) => share >= 0.85 },
        })),
    ],
  };
}

function makeKey(state) {
  const args = ["scripts/key.ts", "--owner", "bench"];
  const options = { cwd: ROOT, env: { ...process.env, STATE_DIR: path.resolve(state) }, encoding: "utf8" };
  const text = /^a2a_\S+$/m.exec(execFileSync(process.execPath, args, options))?.[0];
  if (text === undefined) throw new Error("npm run key printed no key");
  return text;
}

/** An issuer in this process, so on the load's core; its keys are fetched a few times in all. */
async function startIssuer() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "bench", alg: "RS256", use: "sig" };
  const server = createServer((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise((settle) => server.listen(0, "127.0.0.1", settle));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    settings: { issuer: url, audience: AUDIENCE, jwksUrl: `${url}/keys` },
    sign: () =>
      new SignJWT({ scope: "task:read task:write" })
        .setProtectedHeader({ alg: "RS256", kid: "bench" })
        .setIssuer(url)
        .setAudience(AUDIENCE)
        .setSubject("bench")
        .setIssuedAt()
        .setExpirationTime("2h")
        .sign(privateKey),
    close: () => server.close(),
  };
}
