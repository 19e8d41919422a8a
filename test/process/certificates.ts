// Certificates for servers of a test, made as they are needed: no private key is kept in the repository.
//
// X.509 (RFC 5280) with ECDSA on P-256, written as DER by hand, with no more in it than TLS clients look at.

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

export type Certificate = { cert: string; key: string };

export type Authority = {
  /** Its own certificate in PEM. */
  ca: string;
  /** A server's certificate for these names, from a day ago on; an expired one ended an hour ago. */
  issue(names: string[], options?: { expired?: boolean }): Certificate;
};

export function createAuthority(): Authority {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = name("a test's authority");
  const certify = (subject: Buffer, subjectKey: KeyObject, until: Date, extensions: Buffer[]) => {
    const tbs = sequence(
      tagged(0xa0, integer(Buffer.from([2]))),
      integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
      ECDSA_WITH_SHA256,
      issuer,
      sequence(time(new Date(Date.now() - DAY_MS)), time(until)),
      subject,
      subjectKey.export({ type: "spki", format: "der" }),
      tagged(0xa3, sequence(...extensions)),
    );
    return pem(sequence(tbs, ECDSA_WITH_SHA256, bitString(sign("sha256", tbs, keys.privateKey))));
  };
  const inADay = new Date(Date.now() + DAY_MS);
  return {
    ca: certify(issuer, keys.publicKey, inADay, [extension("551d13", sequence(Buffer.from([1, 1, 0xff])))]),
    issue(names, { expired = false } = {}) {
      const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const until = expired ? new Date(Date.now() - DAY_MS / 24) : inADay;
      const alternatives = sequence(...names.map((dnsName) => tagged(0x82, Buffer.from(dnsName))));
      return {
        cert: certify(name("a test's server"), own.publicKey, until, [extension("551d11", alternatives)]),
        key: own.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
      };
    },
  };
}

const DAY_MS = 86_400_000;

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...items: Buffer[]) => tagged(0x30, Buffer.concat(items));
const integer = (bytes: Buffer) => tagged(0x02, bytes);
const identifier = (hex: string) => tagged(0x06, Buffer.from(hex, "hex"));
const bitString = (bytes: Buffer) => tagged(0x03, Buffer.concat([Buffer.from([0]), bytes]));
const extension = (id: string, value: Buffer) => sequence(identifier(id), tagged(0x04, value));

const ECDSA_WITH_SHA256 = sequence(identifier("2a8648ce3d040302"));

function name(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(identifier("550403"), tagged(0x0c, Buffer.from(commonName)))));
}

/** UTCTime, good until 2049. */
function time(date: Date): Buffer {
  return tagged(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, "").slice(2, 14)}Z`));
}

function pem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}
