// Receivers: `npm run receiver` as one meets it in a terminal, the examples of the documentation, and the verifier in
// Node. What they receive is signed by the `standardwebhooks` package and by Node's own crypto.

import { generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { runVector, type Vectors } from "../verify/run-vector.ts";
import { type Program, startProgram } from "./program.ts";
import { run } from "./run.ts";
import { createStateDir, removeStateDir, root, startServer } from "./server.ts";

const secret = `whsec_${Buffer.alloc(32, 3).toString("base64")}`;
const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const jwks = { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k1", use: "sig", alg: "EdDSA" }] };
const server = createServer((_, response) => response.end(JSON.stringify(jwks)));
let jwksUrl: string;
const programs: Program[] = [];

beforeAll(async () => {
  await new Promise<void>((settle) => server.listen(0, "127.0.0.1", settle));
  jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
});
afterAll(() => new Promise((settle) => server.close(settle)));
afterEach(async () => {
  for (const program of programs.splice(0)) await program.stop();
});

const statusUpdate = (text: string) => ({
  taskId: "0-1",
  contextId: "c",
  status: {
    state: "TASK_STATE_WORKING",
    message: { messageId: "m", role: "ROLE_AGENT", parts: [{ text }] },
  },
});

type Sent = {
  id?: string;
  /** The value to send, or the bytes. */
  body?: unknown;
  at?: Date;
  headers?: Record<string, string>;
};

function signed({
  id = "msg_1",
  body = { statusUpdate: statusUpdate("Hello") },
  at = new Date(),
  headers,
}: Sent = {}) {
  const text = JSON.stringify(body);
  const timestamp = Math.floor(at.getTime() / 1_000);
  const own = sign(null, Buffer.from(`${id}.${timestamp}.${text}`), privateKey).toString("base64");
  return {
    method: "POST",
    body: text,
    headers: {
      "content-type": "application/a2a+json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `${new Webhook(secret).sign(id, at, text)} v1a,${own}`,
      "webhook-sequence": "7",
      "webhook-attempt": "2",
      ...headers,
    },
  };
}

const post = async (url: string, sent: RequestInit) => (await fetch(`${url}/hook`, sent)).status;

describe("npm run receiver", () => {
  async function receiver(...options: string[]) {
    const program = await startProgram([
      process.execPath,
      "scripts/receiver.ts",
      "--jwks",
      jwksUrl,
      ...options,
    ]);
    programs.push(program);
    return program;
  }

  test("prints each notification with what was verified, on a few lines and without colours", async () => {
    const { url, output } = await receiver("--secret", secret, "--token", "t-1");
    expect(await post(url, signed({ headers: { "a2a-notification-token": "t-1" } }))).toBe(200);
    await expect
      .poll(output)
      .toContain(
        "Notification msg_1 · attempt 2\n" +
          "  #7 · statusUpdate · TASK_STATE_WORKING · task 0-1\n" +
          '  "Hello"\n' +
          "  signature verified (v1, v1a) · token verified · answered 200\n",
      );
    expect(output()).not.toContain("\x1b");
  });

  test("prints the tasks of older dialects, by what their files are called", async () => {
    const { url, output } = await receiver("--secret", secret);
    const file = { name: "plan.pdf", bytes: "eA==" };
    const message = (parts: object[]) => ({ role: "agent", messageId: "m", parts });
    const legacy = [
      { kind: "text", text: "Where to" },
      { kind: "file", file },
    ];
    const body = { kind: "task", id: "0-3", status: { state: "input-required", message: message(legacy) } };
    expect(await post(url, signed({ id: "msg_3", body, headers: { "a2a-version": "0.3" } }))).toBe(200);
    await expect
      .poll(output)
      .toContain('  #7 · legacyTask · input-required · task 0-3\n  "Where to [plan.pdf]"\n');
    const oldest = {
      id: "0-1",
      status: { state: "failed", message: message([{ type: "text", text: "No" }]) },
    };
    expect(await post(url, signed({ id: "msg_4", body: oldest }))).toBe(200);
    await expect.poll(output).toContain('  #7 · oldestTask · failed · task 0-1\n  "No"\n');
  });

  test("says of the second that it is a duplicate, and of a replay that it is one", async () => {
    const { url, output } = await receiver("--secret", secret);
    const first = signed();
    expect(await post(url, first)).toBe(200);
    expect(await post(url, signed({ at: new Date(Date.now() + 2_000) }))).toBe(200);
    await expect.poll(output).toContain("Notification msg_1 · attempt 2 · duplicate\n");
    expect(await post(url, first)).toBe(401);
    await expect.poll(output).toContain("refused: replayed");
  });

  test("refuses what is not genuine, and says why", async () => {
    const { url, output } = await receiver("--secret", secret, "--token", "t-1");
    const token = { "a2a-notification-token": "t-1" };
    const cases: [RequestInit, string][] = [
      [{ ...signed({ headers: token }), body: "{}" }, "no_matching_signature"],
      [signed({ headers: token, at: new Date(Date.now() - 400_000) }), "too_old"],
      [signed({ headers: { "a2a-notification-token": "t-2" } }), "wrong_token"],
      [signed(), "missing_header (a2a-notification-token)"],
      [{ method: "POST", body: "{}" }, "missing_header (webhook-signature)"],
    ];
    for (const [sent, reason] of cases) {
      expect(await post(url, sent)).toBe(401);
      await expect.poll(output).toContain(`refused: ${reason}`);
    }
  });

  test("verifies a token by itself, where it is told to expect nothing else", async () => {
    const { url, output } = await receiver("--jwks", "off", "--token", "t-1");
    const sent = (token: Record<string, string>) => post(url, signed({ headers: token }));
    expect(await sent({ "a2a-notification-token": "t-2" })).toBe(401);
    await expect.poll(output).toContain("refused: wrong_token");
    expect(await sent({})).toBe(401);
    await expect.poll(output).toContain("refused: missing_header (a2a-notification-token)");
    expect(await sent({ "x-a2a-notification-token": "t-1" })).toBe(200);
    await expect.poll(output).toContain("\n  token verified · answered 200\n");
  });

  test("answers a path that is none, and a body that cannot be printed, and goes on", async () => {
    const { url } = await receiver("--jwks", "off");
    expect(await rawStatus(url, "//")).toBe(400);
    const state = { toString: null, valueOf: null };
    const body = { statusUpdate: { ...statusUpdate("x"), status: { state } } };
    expect(await post(url, signed({ body }))).toBe(500);
    expect(await post(url, signed())).toBe(200);
  });

  /** `fetch` sends no such path. */
  function rawStatus(url: string, path: string): Promise<number | undefined> {
    return new Promise((settle, fail) => {
      const sent = request(url, { method: "POST", path, agent: false }, (response) => {
        response.resume();
        settle(response.statusCode);
      });
      sent.on("error", fail).end("{}");
    });
  }

  test("answers badly when it is told to", async () => {
    const failing = await receiver("--fail", "2");
    const codes = [];
    for (const id of ["a", "a", "a"])
      codes.push(await post(failing.url, signed({ id, at: at(codes.length) })));
    expect(codes).toEqual([500, 500, 200]);
    // What was answered badly has not been handled.
    expect(failing.output()).not.toContain("duplicate");

    const gone = await receiver("--status", "410");
    expect([await post(gone.url, signed()), await post(gone.url, signed({ id: "b" }))]).toEqual([410, 410]);

    const both = await receiver("--fail", "1", "--status", "429", "--slow", "300");
    const started = Date.now();
    expect([await post(both.url, signed()), await post(both.url, signed({ id: "b" }))]).toEqual([429, 200]);
    expect(Date.now() - started).toBeGreaterThanOrEqual(590);
  });

  const at = (seconds: number) => new Date(Date.now() + seconds * 1_000);

  test("echoes the challenge, and nothing a browser would take for a page", async () => {
    const { url } = await receiver();
    const answer = await fetch(`${url}/a/validate?challenge=${encodeURIComponent("<b>é</b>")}`);
    expect([answer.status, await answer.text()]).toEqual([200, "<b>é</b>"]);
    expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect((await fetch(`${url}/hook`)).status).toBe(405);
  });

  test("prints no control character that a sender wrote", async () => {
    const { url, output } = await receiver("--jwks", "off");
    const body = { statusUpdate: statusUpdate("\x1b[2J\x07red\r\nfake line\u202e\u009b31m") };
    expect(await post(url, signed({ body, headers: { "webhook-id": "id\x9b31m" } }))).toBe(200);
    await expect.poll(output).toContain("not verified");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(output()).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    expect(output()).toContain('"');
  });

  test("asks to be tried again while there are no keys", async () => {
    const { url, output } = await receiver("--jwks", "http://127.0.0.1:1/jwks.json");
    expect(await post(url, signed())).toBe(503);
    await expect.poll(output).toContain("refused: jwks_unavailable");
  });

  test("survives whoever leaves in the middle", async () => {
    const { url } = await receiver();
    const aborted = new AbortController();
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("{"));
        setTimeout(() => aborted.abort(), 50);
      },
    });
    const sent = fetch(`${url}/hook`, {
      method: "POST",
      body,
      duplex: "half",
      signal: aborted.signal,
    } as RequestInit);
    await expect(sent).rejects.toThrow();
    expect(await post(url, signed())).toBe(200);
  });

  test.each([
    [["--status", "99"], "--status must be a whole number from 200 to 599."],
    [["--fail", "-1"], "--fail"],
    [["--slow", "soon"], "--slow must be a whole number"],
    [["--jwks", "file:///etc/passwd"], '--jwks must be a URL or "off".'],
    [["--token", "", "--jwks", "off"], "--token must not be empty."],
    [["--secret", "whsec_?"], "a secret must not be empty, and be base64 after whsec_"],
    [["--unknown"], "--unknown"],
  ])("refuses %j in words", async (options, message) => {
    const { code, output } = await run(process.execPath, ["scripts/receiver.ts", ...options], { PORT: "0" });
    expect(code).toBe(1);
    expect(output).toContain(message);
    expect(output).not.toContain("    at ");
  });

  test("says that its port is taken", async () => {
    const taken = new URL(jwksUrl).port;
    const { code, output } = await run(process.execPath, ["scripts/receiver.ts"], { PORT: taken });
    expect(code).toBe(1);
    expect(output).toBe(
      `Port ${taken} on 127.0.0.1 is in use. Stop what listens there, or choose another port with PORT.\n`,
    );
  });

  test("explains itself, and ends when it is told to", async () => {
    const { code, output } = await run("npm", ["run", "receiver", "--", "--help"]);
    expect(code).toBe(0);
    for (const option of ["--secret", "--token", "--jwks", "--fail", "--status", "--slow", "PORT"]) {
      expect(output).toContain(option);
    }
    const program = await startProgram([process.execPath, "scripts/receiver.ts"]);
    expect(await program.stop()).toBe(0);
  });

  test("shows a long task of a server, from the command that it prints", async () => {
    const stateDir = await createStateDir();
    const served = await startServer({ mode: "serve", stateDir, vars: { STEP_MILLISECONDS: "50" } });
    try {
      const program = await startProgram([
        process.execPath,
        "scripts/receiver.ts",
        "--jwks",
        `${served.url}/.well-known/jwks.json`,
      ]);
      programs.push(program);
      const line = /^curl .*$/m.exec(program.output())?.[0] ?? "no such line";
      expect((await run("sh", ["-c", `${line} -s`])).output).toContain("TASK_STATE_SUBMITTED");
      await expect.poll(program.output, { timeout: 30_000 }).toContain("TASK_STATE_COMPLETED");
      const verified = program
        .output()
        .match(/^ {2}signature verified \(v1, v1a\) · token verified · answered 200$/gm);
      const sequences = [...program.output().matchAll(/^ {2}#(\d+) /gm)].map(([, n]) => Number(n));
      expect(sequences.length).toBeGreaterThanOrEqual(5);
      expect(sequences).toEqual(sequences.map((_, index) => index + 1));
      expect(verified).toHaveLength(sequences.length);
    } finally {
      await served.kill9();
      await removeStateDir(stateDir);
    }
  });
});

/** Each with what has to be done before it can be started, and what a machine needs for it. */
const examples: { name: string; needs: string[]; build?: string[]; command: string[] }[] = [
  {
    name: "receiver.ts",
    needs: [process.execPath, "--version"],
    // What `a2a-edge/verify` leads to.
    build: ["npx", "tsc", "-p", "src/verify"],
    command: [process.execPath, "docs/receivers/receiver.ts"],
  },
  {
    name: "receiver.py",
    needs: ["python3", "--version"],
    command: ["python3", "docs/receivers/receiver.py"],
  },
  {
    name: "receiver.go",
    needs: ["go", "version"],
    build: ["go", "build", "-o", "dist/receiver-go", "docs/receivers/receiver.go"],
    command: ["dist/receiver-go"],
  },
];

const runAll = ([program = "", ...args]: string[]) => run(program, args);

/** Which of them can be run here. */
const runnable = await Promise.all(
  examples.map(({ needs }) =>
    runAll(needs).then(
      ({ code }) => code === 0,
      () => false,
    ),
  ),
);

test("the example in TypeScript is among those that run here", () => {
  expect(runnable[0]).toBe(true);
});

describe.each(examples.filter((_, index) => runnable[index]))(
  "docs/receivers/$name",
  ({ build, command }) => {
    beforeAll(async () => {
      if (build) expect(await runAll(build)).toEqual({ code: 0, output: "" });
    });

    async function example(env: Record<string, string> = { WEBHOOK_SECRET: secret }) {
      const program = await startProgram(command, env);
      programs.push(program);
      return program;
    }

    test("takes what is genuine, once", async () => {
      const { url, output } = await example();
      expect(await post(url, signed())).toBe(204);
      await expect.poll(output).toContain("0-1: TASK_STATE_WORKING");
      expect(await post(url, signed({ at: new Date(Date.now() + 1_000) }))).toBe(204);
      expect(await post(url, signed({ id: "msg_2", body: { artifactUpdate: { taskId: "0-2" } } }))).toBe(204);
      await expect.poll(output).toContain("0-2: artifactUpdate");
      expect(output().match(/^0-1: /gm)).toHaveLength(1);
    });

    test("takes a batch", async () => {
      const { url, output } = await example();
      const body = ["0-5", "0-6"].map((taskId, n) => ({
        id: `evt_${n}`,
        sequence: n + 1,
        event: "statusChanged",
        payload: { statusUpdate: { ...statusUpdate("x"), taskId } },
      }));
      expect(await post(url, signed({ id: "batch_1", body }))).toBe(204);
      await expect.poll(output).toMatch(/^0-5: TASK_STATE_WORKING\n0-6: TASK_STATE_WORKING$/m);
    });

    test("takes a secret without prefix", async () => {
      const plain = "a secret as somebody typed it, with ü";
      const { url } = await example({ WEBHOOK_SECRET: plain });
      const sent = signed();
      const webhook = new Webhook(new TextEncoder().encode(plain), { format: "raw" });
      sent.headers["webhook-signature"] = webhook.sign("msg_1", new Date(), sent.body);
      expect(await post(url, sent)).toBe(204);
    });

    test("refuses what is not genuine, and does nothing of it", async () => {
      const { url, output } = await example();
      const good = signed();
      const changed = (headers: Record<string, string>) => ({
        ...good,
        headers: { ...good.headers, ...headers },
      });
      const refused: RequestInit[] = [
        { ...good, body: good.body.replace("0-1", "0-9") },
        signed({ at: new Date(Date.now() - 400_000) }),
        signed({ at: new Date(Date.now() + 400_000) }),
        changed({ "webhook-signature": "v1,AAAA" }),
        changed({ "webhook-signature": "" }),
        changed({ "webhook-id": "msg_other" }),
        changed({ "webhook-timestamp": "soon" }),
        changed({ "webhook-timestamp": "9".repeat(5_000) }),
        { method: "POST", body: good.body },
      ];
      for (const sent of refused) expect(await post(url, sent)).toBe(401);
      expect(output()).not.toContain("TASK_STATE");
    });

    test("echoes the challenge as plain text", async () => {
      const { url } = await example();
      const answer = await fetch(`${url}/hook/validate?challenge=a%20b`);
      expect([answer.status, await answer.text()]).toEqual([200, "a b"]);
      expect(answer.headers.get("content-type")).toMatch(/^text\/plain/);
    });
  },
);

test("the example in TypeScript verifies without a secret too", async () => {
  const program = await startProgram([process.execPath, "docs/receivers/receiver.ts"], { JWKS_URL: jwksUrl });
  programs.push(program);
  const sent = signed();
  expect(await post(program.url, { ...sent, body: `${sent.body} ` })).toBe(401);
  expect(await post(program.url, sent)).toBe(204);
});

describe("the verifier in Node", () => {
  const vectors = JSON.parse(
    readFileSync(join(root, "test/fixtures/webhooks/vectors.json"), "utf8"),
  ) as Vectors;

  test("says to every vector what it says in Workers", async () => {
    for (const vector of vectors.vectors) {
      expect(await runVector(vectors, vector), vector.name).toEqual(vector.expect);
    }
  });
});
