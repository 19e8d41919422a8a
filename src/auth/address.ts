// Where a request comes from, as far as strangers are told apart by it.

import { parseAddress } from "../outbound/addresses.ts";

/**
 * The client's address as Cloudflare says it; of IPv6 the network of 64 bits, since a customer is given all of that.
 * "unknown" where nobody says it. Whoever runs this server elsewhere must have a proxy set the header `CF-Connecting-IP`
 * anew, or clients can choose it.
 */
export function addressOf({ headers }: Request): string {
  const text = headers.get("cf-connecting-ip");
  const bytes = text === null ? undefined : parseAddress(text);
  if (bytes === undefined) return "unknown";
  if (bytes.length === 4) return bytes.join(".");
  // ::ffff:0:0/96 stands for IPv4 (RFC 4291 §2.5.5.2).
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return bytes.slice(12).join(".");
  return `${bytes
    .slice(0, 8)
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("")}/64`;
}
