import { describe, expect, it } from "vitest";
import { contains, parseAddress, parseBlock } from "../../src/outbound/addresses.ts";
import { isPublicAddress } from "../../src/outbound/guard.ts";
import { SPECIAL_IPV4, SPECIAL_IPV6 } from "../../src/outbound/special-purpose.ts";
import {
  type BlockRow,
  INNER_ADDRESSES,
  IPV4_BLOCKS,
  IPV6_BLOCKS,
  NO_ADDRESSES,
  PUBLIC_ADDRESSES,
} from "./address-vectors.ts";

const toAddress = (text: string) => parseAddress(text) ?? [];
const toBlock = (text: string) => parseBlock(text) ?? { address: [], bits: 0 };

describe("isPublicAddress", () => {
  it.each([...IPV4_BLOCKS, ...IPV6_BLOCKS])("knows where %s begins and ends", (...row: BlockRow) => {
    const [block, first, last, ...neighbours] = row;
    for (const edge of [first, last]) {
      expect(contains(toBlock(block), toAddress(edge)), edge).toBe(true);
      expect(isPublicAddress(edge), edge).toBe(false);
    }
    for (const [kind, address] of neighbours.map((neighbour) => neighbour.split(" "))) {
      if (address === undefined) continue;
      expect(contains(toBlock(block), toAddress(address)), address).toBe(false);
      expect(isPublicAddress(address), address).toBe(kind === "public");
    }
  });

  it.each(INNER_ADDRESSES)("refuses %s", (address) => {
    expect(parseAddress(address)).toBeDefined();
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each(PUBLIC_ADDRESSES)("lets %s through", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it.each(NO_ADDRESSES)("takes %j for no address, so it is refused", (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(isPublicAddress(text)).toBe(false);
  });

  it("is tried at the edges of every block it goes by, and of no other", () => {
    const known = [...SPECIAL_IPV4, ...SPECIAL_IPV6].map(({ block }) => block);
    expect([...IPV4_BLOCKS, ...IPV6_BLOCKS].map(([block]) => block).toSorted()).toEqual(known.toSorted());
  });
});

describe("parseAddress", () => {
  it("reads every spelling of an IPv6 address as the same bytes (RFC 5952 §2)", () => {
    const spellings = [
      "2001:db8:0:0:1:0:0:1",
      "2001:0db8:0:0:1:0:0:1",
      "2001:db8::1:0:0:1",
      "2001:db8::0:1:0:0:1",
      "2001:0db8::1:0:0:1",
      "2001:db8:0:0:1::1",
      "2001:db8:0000:0:1::1",
      "2001:DB8:0:0:1::1",
      "2001:db8::1:0:0.0.0.1",
    ];
    const bytes = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for (const spelling of spellings) expect(parseAddress(spelling), spelling).toEqual(bytes);
  });

  it("lets :: stand for one group at least, at either end or in the middle (RFC 4291 §2.2)", () => {
    expect(parseAddress("::2:3:4:5:6:7:8")?.slice(0, 4)).toEqual([0, 0, 0, 2]);
    expect(parseAddress("1:2:3:4:5:6:7::")?.slice(-4)).toEqual([0, 7, 0, 0]);
    expect(parseAddress("1:2:3::5:6:7:8")?.slice(4, 10)).toEqual([0, 3, 0, 0, 0, 5]);
  });
});

describe("parseBlock", () => {
  it.each([
    "1.2.3.4",
    "1.2.3.4/",
    "1.2.3.4/33",
    "::/129",
    "1.2.3.4/8/8",
    "1.2.3/8",
    "1.2.3.4/-1",
    "1.2.3.4/ 8",
    "/8",
  ])("takes %s for no block", (text) => expect(parseBlock(text)).toBeUndefined());

  it("compares families: an IPv4 block holds no IPv6 address", () => {
    expect(contains(toBlock("0.0.0.0/0"), toAddress("::ffff:1.2.3.4"))).toBe(false);
    expect(contains(toBlock("0.0.0.0/0"), toAddress("255.255.255.255"))).toBe(true);
    expect(contains(toBlock("::/0"), toAddress("1.2.3.4"))).toBe(false);
  });
});
