// IPv4 and IPv6 addresses as text, read strictly: dotted decimal without leading zeros, and the forms of RFC 4291.
//
// Whatever else a C library takes for an address (octal, hexadecimal, one number, a zone) is none here. The guard
// refuses what is not an address, so a spelling that two parsers read differently never gets through.

/** 4 bytes for IPv4, 16 for IPv6. */
export type Address = readonly number[];

/** All addresses whose first `bits` bits are those of `address`. */
export type Block = { address: Address; bits: number };

/** The address, or undefined if `text` is none. */
export function parseAddress(text: string): Address | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** A block in CIDR notation (RFC 4632, RFC 4291 §2.3); undefined if `text` is none. */
export function parseBlock(text: string): Block | undefined {
  const [prefix = "", length = "", ...more] = text.split("/");
  const address = parseAddress(prefix);
  const bits = Number(length);
  if (address === undefined || more.length > 0 || !/^\d{1,3}$/.test(length)) return undefined;
  return bits <= address.length * 8 ? { address, bits } : undefined;
}

/** Whether a block holds an address; a block of the other family never does. */
export function contains(block: Block, address: Address): boolean {
  if (block.address.length !== address.length) return false;
  return address.every((byte, index) => {
    const bits = Math.min(Math.max(block.bits - index * 8, 0), 8);
    const mask = 0xff & (0xff << (8 - bits));
    return (byte & mask) === ((block.address[index] ?? 0) & mask);
  });
}

function parseIpv4(text: string): Address | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) => parseGroups(half, index === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // "::" stands for one group of zeros at least (RFC 4291 §2.2).
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

/** Groups of 16 bits as bytes; the last one of an address may be an IPv4 address. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const ipv4 = mayEndInIpv4 && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (ipv4 !== undefined) bytes.push(...ipv4);
    else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return undefined;
  }
  return bytes;
}
