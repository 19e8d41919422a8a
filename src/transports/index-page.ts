// `GET /`: who is here, for people (HTML) and programs (JSON).

import packageJson from "../../package.json";
import type { Registry } from "../agents/registry.ts";
import { CARD_PATH } from "./discovery.ts";

type Index = {
  name: string;
  version: string;
  protocol: string;
  agents: { name: string; description: string; url: string; card: string }[];
  links: Record<string, string>;
};

export function serveIndex(request: Request, agents: Registry, baseUrl: string): Response {
  const index: Index = {
    name: packageJson.name,
    version: packageJson.version,
    protocol: "A2A 1.0",
    agents: agents.list().map(({ name, description }) => ({
      name,
      description,
      url: `${baseUrl}/${name}`,
      card: `${baseUrl}/${name}${CARD_PATH}`,
    })),
    links: { card: `${baseUrl}${CARD_PATH}`, health: `${baseUrl}/health`, ready: `${baseUrl}/ready` },
  };
  const headers = { "cache-control": "no-cache", vary: "Accept" };
  if (!prefersHtml(request.headers.get("accept"))) return Response.json(index, { headers });
  return new Response(toHtml(index), {
    headers: {
      ...headers,
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    },
  });
}

/** Browsers name text/html first; programs name application/json, anything, or nothing. */
function prefersHtml(accept: string | null): boolean {
  const types = (accept ?? "").toLowerCase();
  const html = types.indexOf("text/html");
  const json = types.indexOf("application/json");
  return html !== -1 && (json === -1 || html < json);
}

function toHtml({ name, version, protocol, agents, links }: Index): string {
  const rows = agents.map(
    (agent) =>
      `<dt><a href="${escapeHtml(agent.card)}">${escapeHtml(agent.name)}</a></dt><dd>${escapeHtml(agent.description)}</dd>`,
  );
  const more = Object.entries(links).map(
    ([label, url]) => `<a href="${escapeHtml(url)}">${escapeHtml(label)}</a>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(name)}</title>
<style>body{font:16px/1.5 system-ui;max-width:40em;margin:3em auto;padding:0 1em}dt{font-weight:600}</style>
<h1>${escapeHtml(name)} ${escapeHtml(version)}</h1>
<p>Speaks ${escapeHtml(protocol)}. Agents, each with its card:</p>
<dl>${rows.join("\n")}</dl>
<p>${more.join(" · ")}</p>
</html>
`;
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}
