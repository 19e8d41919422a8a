// Which host names an open server answers at.
//
// With AUTH_MODE=open whoever reaches the server is a caller, and on loopback that is meant to be this machine. A page
// of the web is on this machine too: by DNS rebinding it has its own name lead to 127.0.0.1, and then speaks to this
// server as its own origin, where no browser stops it from reading. Its name is in the URL, so names are what is
// judged. An address is no name that could be rebound: a browser that asks for one has connected to it.

import type { Config } from "../config.ts";

/** Whether a request to this URL is served. Sure in every mode in which a caller must say who it is. */
export type ServesHost = (url: string) => boolean;

export function createServesHost({ authModes, allowedHosts, publicUrl }: Config): ServesHost {
  if (!authModes.includes("open") || allowedHosts.includes("*")) return () => true;
  const names = new Set(["localhost", ...allowedHosts.map(toName)]);
  if (publicUrl !== "") names.add(toName(new URL(publicUrl).hostname));
  // Nearly all requests come to one host: its URL is read once.
  let known = "";
  return (url) => {
    if (known !== "" && url.startsWith(known)) return true;
    const { origin, hostname } = new URL(url);
    const name = toName(hostname);
    const isServed = names.has(name) || name.endsWith(".localhost") || isAddress(name);
    if (isServed) known = `${origin}/`;
    return isServed;
  };
}

/** A name with and without the dot of the root is one. The URL parser has seen to case, IDNA and forms of addresses. */
function toName(hostname: string): string {
  return hostname.replace(/\.$/, "").toLowerCase();
}

/** The URL parser takes a host whose last label is a number for an IPv4 address, or fails. */
function isAddress(name: string): boolean {
  return name.startsWith("[") || /(?:^|\.)\d+$/.test(name);
}
