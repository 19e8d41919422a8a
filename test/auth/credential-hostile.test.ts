// Credentials that are presented in odd ways: one request has one credential, or none.

import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { readCredential } from "../../src/auth/credential.ts";
import { createApiKey } from "../../src/store/api-keys.ts";
import { createClient } from "../support/client.ts";
import { serveWith } from "../support/server.ts";

const KEY = `a2a_0123456789ab_${"x".repeat(43)}`;
const OTHER = `a2a_0123456789ab_${"y".repeat(43)}`;
const JWT = "e30.e30.AAAA";

const read = (headers: [string, string][]) => {
  const result = readCredential(new Headers(headers));
  return result.ok ? `${result.value.kind} ${result.value.text}` : result.error.reason;
};

const bearer = (value: string): [string, string] => ["authorization", value];

describe("a credential", () => {
  it.each<[string, [string, string][], string]>([
    ["none", [], "missing"],
    ["a key", [bearer(`Bearer ${KEY}`)], `api-key ${KEY}`],
    ["a key after several spaces", [bearer(`bearer    ${KEY}`)], `api-key ${KEY}`],
    ["a token", [bearer(`BEARER ${JWT}`)], `jwt ${JWT}`],
    ["a key in its own header", [["x-api-key", KEY]], `api-key ${KEY}`],
    ["spaces around, which are none of a header's value", [["x-api-key", `  ${KEY}\t`]], `api-key ${KEY}`],
    [
      "a key beside Basic, which is for somebody else",
      [bearer("Basic eDp5"), ["x-api-key", KEY]],
      `api-key ${KEY}`,
    ],
    ["the same key twice", [bearer(`Bearer ${KEY}`), ["x-api-key", KEY]], `api-key ${KEY}`],
  ])("%s", (_, headers, expected) => {
    expect(read(headers)).toBe(expected);
  });

  it.each<[string, [string, string][], string]>([
    ["another key beside a key", [bearer(`Bearer ${KEY}`), ["x-api-key", OTHER]], "conflicting"],
    ["a token beside a key", [bearer(`Bearer ${JWT}`), ["x-api-key", KEY]], "conflicting"],
    ["nothing beside a key", [bearer("Bearer"), ["x-api-key", KEY]], "conflicting"],
    ["a key beside an empty key", [bearer(`Bearer ${KEY}`), ["x-api-key", ""]], "conflicting"],
    ["two Authorization headers", [bearer(`Bearer ${KEY}`), bearer(`Bearer ${OTHER}`)], "malformed"],
    ["the same Authorization twice", [bearer(`Bearer ${KEY}`), bearer(`Bearer ${KEY}`)], "malformed"],
    [
      "two keys in their header",
      [
        ["x-api-key", KEY],
        ["x-api-key", KEY],
      ],
      "malformed",
    ],
    ["Bearer, then Basic", [bearer(`Bearer ${KEY}`), bearer("Basic eDp5")], "malformed"],
    ["Basic, then Bearer", [bearer("Basic eDp5"), bearer(`Bearer ${KEY}`)], "unsupported_scheme"],
    ["Basic", [bearer("Basic eDp5")], "unsupported_scheme"],
    ["Digest", [bearer('Digest username="a", realm="b"')], "unsupported_scheme"],
    ["DPoP", [bearer(`DPoP ${JWT}`)], "unsupported_scheme"],
    ["a token in the header of keys", [["x-api-key", JWT]], "malformed"],
    ["a session in the header of keys", [["x-api-key", `a2as_${"x".repeat(43)}`]], "malformed"],
    ["no scheme", [bearer(KEY)], "malformed"],
    ["the scheme alone", [bearer("Bearer")], "malformed"],
    ["the scheme and a space", [bearer("Bearer ")], "malformed"],
    ["nothing", [bearer("")], "malformed"],
    ["a tab for the space", [bearer(`Bearer\t${KEY}`)], "malformed"],
    ["a colon", [bearer(`Bearer: ${KEY}`)], "malformed"],
    ["no space", [bearer(`Bearer${KEY}`)], "malformed"],
    ["an equals sign", [bearer(`Bearer=${KEY}`)], "malformed"],
    ["a space in it", [bearer(`Bearer ${KEY} x`)], "malformed"],
    ["quotes", [bearer(`Bearer "${KEY}"`)], "malformed"],
    ["a comma", [bearer(`Bearer ${KEY},`)], "malformed"],
    ["a no-break space", [bearer(`Bearer\u00a0${KEY}`)], "malformed"],
    ["a no-break space at its end", [bearer(`Bearer ${KEY}\u00a0`)], "malformed"],
    ["a letter that is not ASCII", [bearer(`Bearer ${KEY.replace("x", "é")}`)], "malformed"],
    ["percent-encoding", [bearer(`Bearer ${KEY.replace("_", "%5F")}`)], "malformed"],
    ["another prefix", [bearer(`Bearer A2A${KEY.slice(3)}`)], "malformed"],
    ["a key and a token in one", [bearer(`Bearer ${KEY}.e30.AAAA`)], "jwt"],
    ["a hundred thousand letters", [bearer(`Bearer ${"x".repeat(100_000)}`)], "malformed"],
    ["a hundred thousand spaces", [bearer(`Bearer${" ".repeat(100_000)}`)], "malformed"],
    ["a hundred thousand dots", [bearer(`Bearer ${".".repeat(100_000)}`)], "malformed"],
  ])("is not %s", (_, headers, expected) => {
    const startedAt = performance.now();
    expect(read(headers).split(" ")[0]).toBe(expected);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe("a follow-up to a task that waits for authorization (§7.6)", () => {
  it("resumes it over both bindings, with what the agent said meanwhile, and only by who may write", async () => {
    const fetch = serveWith({ authModes: ["api-key"] });
    const key = async (roles: string[]) => {
      const made = { owner: "waiting", roles, scopes: [], createdBy: "cli" };
      const { text } = await createApiKey(env.DB, made, Date.now());
      return createClient({ agent: "conformance", headers: { "x-api-key": text }, fetch });
    };
    const [writer, reader] = [await key(["user"]), await key(["viewer"])];
    for (const binding of ["JSON-RPC", "HTTP+JSON"]) {
      const task = await writer.sendForTask("auth");
      expect(task.status).toMatchObject({
        state: "TASK_STATE_AUTH_REQUIRED",
        message: { role: "ROLE_AGENT", parts: [{ text: expect.stringMatching(/./) }] },
      });
      const message = {
        messageId: crypto.randomUUID(),
        role: "ROLE_USER",
        taskId: task.id,
        parts: [{ text: "done" }],
      };
      const send = (client: typeof writer) =>
        binding === "JSON-RPC"
          ? client.rpc("SendMessage", { message })
          : client.request("/message:send", {
              method: "POST",
              headers: { "content-type": "application/a2a+json" },
              body: JSON.stringify({ message }),
            });
      const refused = await send(reader);
      expect(refused.status).toBe(403);
      expect(await refused.text()).toContain("PERMISSION_DENIED");
      expect((await reader.get(task.id)).status.state).toBe("TASK_STATE_AUTH_REQUIRED");
      expect((await send(writer)).status).toBe(200);
      expect((await writer.get(task.id)).status.state).toBe("TASK_STATE_COMPLETED");
    }
  });
});
