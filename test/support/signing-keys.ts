// Signing keys that have been published, and what SIGNING_KEYS is read as.

import { parseSigningKeys, type SigningKeys } from "../../src/keys/signing-keys.ts";

const okp = { kty: "OKP", crv: "Ed25519" };

/** RFC 8037, appendix A. */
export const rfc8037 = {
  ...okp,
  kid: "rfc8037",
  d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
  x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
};

/** RFC 8032, section 7.1, test 2. */
export const rfc8032 = {
  ...okp,
  kid: "rfc8032",
  d: "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs",
  x: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
};

export function keysOf(...jwks: object[]): SigningKeys {
  const parsed = parseSigningKeys(JSON.stringify(jwks));
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}
