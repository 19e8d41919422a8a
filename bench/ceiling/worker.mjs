// The least a durable request can cost on this platform: one Worker, one Durable Object, one row.
//
// `/` commits every insert by itself. `/group` lets the first request of a wave wait for the commits
// before it, and then inserts for all that arrived meanwhile, so that a wave shares one fsync. The
// object's output gate holds every answer back until its row is on disk, in both. `/post` is the least a webhook
// can cost: an object sends a POST, six at a time as the platform allows, and looks at nothing but the status.

import { DurableObject } from "cloudflare:workers";

export class CeilingObject extends DurableObject {
  #sql;
  #waiting = [];

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, body TEXT NOT NULL)");
  }

  insert(body) {
    this.#sql.exec("INSERT INTO requests (body) VALUES (?)", body);
    return { ok: true };
  }

  insertInWave(body) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ body, resolve, reject });
      if (this.#waiting.length === 1) this.ctx.waitUntil(this.#commitWave());
    });
  }

  async post({ url, count, headers, body }) {
    let left = count;
    const slot = async () => {
      while (left-- > 0) {
        const answer = await this.env.EGRESS.fetch(url, { method: "POST", headers, body });
        await answer.body?.cancel();
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      }
    };
    await Promise.all(Array.from({ length: 6 }, slot));
    return { ok: true };
  }

  async #commitWave() {
    try {
      await this.ctx.storage.sync();
    } finally {
      for (const { body, resolve, reject } of this.#waiting.splice(0)) {
        try {
          resolve(this.ctx.storage.transactionSync(() => this.insert(body)));
        } catch (error) {
          reject(error);
        }
      }
    }
  }
}

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") return Response.json({ status: "ok" });
    const object = env.OBJECTS.get(env.OBJECTS.idFromName("ceiling"));
    const body = await request.text();
    if (pathname === "/post") return Response.json(await object.post(JSON.parse(body)));
    return Response.json(await (pathname === "/group" ? object.insertInWave(body) : object.insert(body)));
  },
};
