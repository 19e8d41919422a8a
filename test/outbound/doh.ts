// A DNS over HTTPS server as a `fetch`, whose zone a test writes down.

/** What a name has: addresses of either family, or an alias, each with its time to live in seconds. */
export type Zone = Record<string, { a?: string[]; aaaa?: string[]; cname?: string; ttl?: number }>;

export type DohServer = {
  fetch: typeof fetch;
  /** `<type> <name>` of each question, in order. */
  questions: string[];
  zone: Zone;
};

export const DOH_URL = "https://doh.example.net/dns-query";

export function createDohServer(zone: Zone): DohServer {
  const server: DohServer = {
    zone,
    questions: [],
    fetch: async (input) => {
      const { name, type } = readQuestion(String(input));
      server.questions.push(`${type} ${name}`);
      return Response.json(answer(server.zone, name, type));
    },
  };
  return server;
}

export function readQuestion(url: string): { name: string; type: string } {
  const { searchParams } = new URL(url);
  return { name: searchParams.get("name") ?? "", type: searchParams.get("type") ?? "" };
}

/** As 1.1.1.1 and 8.8.8.8 answer: the aliases first, and names with or without the final dot. */
function answer(zone: Zone, name: string, type: string): object {
  const records: object[] = [];
  let owner = name;
  for (let entry = zone[owner]; entry !== undefined; entry = zone[owner]) {
    const TTL = entry.ttl ?? 300;
    if (entry.cname !== undefined) {
      records.push({ name: owner, type: 5, TTL, data: `${entry.cname}.` });
      owner = entry.cname;
      if (records.length > 5) break;
      continue;
    }
    const [number, addresses] = type === "A" ? [1, entry.a] : [28, entry.aaaa];
    for (const data of addresses ?? []) records.push({ name: `${owner}.`, type: number, TTL, data });
    break;
  }
  const found = zone[name] !== undefined;
  return {
    Status: found ? 0 : 3,
    TC: false,
    RD: true,
    RA: true,
    ...(records.length > 0 && { Answer: records }),
  };
}
