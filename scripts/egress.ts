// The way out of the Worker where it may lead anywhere: straight into the network. Its own `fetch` passes a Worker of
// the local runtime first, which takes as long again as the request itself.

import { readFileSync } from "node:fs";

/** As the runtime's own way out: the authorities of browsers, and those of NODE_EXTRA_CA_CERTS. */
export function directEgress() {
  return {
    network: {
      allow: ["public", "private", "240.0.0.0/4"],
      tlsOptions: { trustBrowserCas: true, trustedCertificates: extraAuthorities() },
    },
  };
}

function extraAuthorities(): string[] {
  const path = process.env.NODE_EXTRA_CA_CERTS;
  if (path === undefined) return [];
  try {
    const pem = readFileSync(path, "utf8");
    return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  } catch {
    // Node itself has warned of it.
    return [];
  }
}
