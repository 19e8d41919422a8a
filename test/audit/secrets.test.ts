// No secret is in the audit, nor anything of what was said: the server is driven with marked texts in every place that
// takes one, and then they are looked for wherever the audit has been.

import { env, runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";
import { createClient, homeOf } from "../support/client.ts";
import { advance, ring } from "../support/home.ts";

/** In no table, no answer and no line of the log. */
const SECRET = "s3cret-mark-0123456789";
/** What clients say, and paths of URLs, which are kept elsewhere. */
const SAID = "said-mark-0123456789";

const lines: string[] = [];
for (const level of ["debug", "info", "warn", "error", "log"] as const) {
  vi.spyOn(console, level).mockImplementation((...texts: unknown[]) => void lines.push(texts.join(" ")));
}

const TABLES = ["audit", "audit_anchors", "push_configs", "attempts", "retry_jobs", "api_keys", "sessions"];

describe("the audit", () => {
  it("holds no secret and nothing of what was said, wherever it has been", { timeout: 60_000 }, async () => {
    const client = createClient({ agent: "interview" });
    const config = {
      id: "hook",
      url: `https://hooks.example.com/${SAID}?token=${SECRET}`,
      token: SECRET,
      authentication: { scheme: "Bearer", credentials: SECRET },
    };
    const { id } = await client.sendForTask(
      { says: SAID, metadata: { [SAID]: SECRET } },
      { configuration: { taskPushNotificationConfig: config }, headers: { "idempotency-key": SECRET } },
    );
    const { authentication: _, ...anew } = config;
    await client.result("CreateTaskPushNotificationConfig", { ...anew, taskId: id });
    await client.error("CreateTaskPushNotificationConfig", {
      ...anew,
      taskId: id,
      url: `https://user:${SECRET}@hooks.example.com/`,
    });
    await client.request(`/tasks?pageToken=${SECRET}`);
    await client.sendForTask({ says: SAID, taskId: id });
    const publisher = createClient({ owner: client.owner, agent: "enterprise" });
    const { id: taskId } = await publisher.sendForTask(`publish ${SAID}`);
    const parts = [{ data: { approved: true, [SAID]: SECRET } }, { text: SAID }];
    await publisher.sendForTask({ parts, taskId });
    const other = await client.start(SAID);
    await client.cancel(other.id);
    // Credentials that are not taken, where each kind belongs.
    const credentials: Record<string, string>[] = [
      { authorization: `Bearer a2a_${SECRET}` },
      { authorization: `Bearer a2as_${SECRET}` },
      { authorization: `Basic ${btoa(`user:${SECRET}`)}`, "x-api-key": SECRET },
    ];
    for (const headers of credentials) {
      await client.rpc("GetTask", { id }, headers);
      await client.request("/message:send", { method: "POST", headers, body: SECRET });
    }
    const admin = async (path: string, body?: object, key: string = env.ADMIN_KEY) => {
      const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
      const post = body && { method: "POST", body: JSON.stringify(body) };
      return (await createClient({ headers }).request(`/admin/v1${path}`, { ...post })).text();
    };
    await admin("/audit", undefined, SECRET);
    const issued = JSON.parse(await admin("/api-keys", { name: "alice" })) as { id: string; secret: string };
    await admin(`/api-keys/${issued.id}:rotate`, {});
    const place = `/configs/${homeOf(client.owner).id}/${id}/hook`;
    advance(10_000);
    await ring(client.owner);
    await admin(`${place}:rotateSecret`, { secret: SECRET });
    await admin(`${place}:pause`, {});
    const opened = await createClient().request("/a2a/auth", { method: "POST" });
    const { session } = await opened.json<{ session: string }>();
    const told = await env.DB.prepare("SELECT body FROM audit_inbox").first<string>("body");
    const audit = env.AUDIT.get(env.AUDIT.idFromName("admin"));
    await audit.collect();
    advance(130_000);
    await ring(client.owner);
    await runDurableObjectAlarm(audit);
    advance(10_000);
    await runDurableObjectAlarm(audit);

    const tables = await Promise.all(
      TABLES.map(async (table) => (await env.DB.prepare(`SELECT * FROM ${table}`).all()).results),
    );
    const audited = JSON.stringify([
      tables[0],
      told,
      await admin("/audit:export"),
      await admin("/audit?pageSize=100"),
      await homeOf(client.owner).auditTail(0),
      await audit.auditTail(0),
    ]);
    // It was looked for where there was something to be found.
    for (const kind of [
      ...[
        "task.created",
        "task.continued",
        "task.canceled",
        "tool.approved",
        "config.created",
        "config.replaced",
      ],
      ...["config.secret_rotated", "config.paused", "operator.request", "operator.made", "session.opened"],
    ]) {
      expect(audited).toContain(kind);
    }
    for (const mark of [SECRET, SAID, issued.secret, session, btoa(SECRET), encodeURIComponent(SECRET)]) {
      expect(audited).not.toContain(mark);
    }
    for (const mark of [SECRET, issued.secret, session]) {
      expect(JSON.stringify(tables)).not.toContain(mark);
      expect(lines.join("\n")).not.toContain(mark);
    }
  });
});
