import { describe, expect, it } from "vitest";
import { checkUrl, type UrlPolicy } from "../../src/outbound/guard.ts";
import {
  INNER_ADDRESSES,
  IPV4_BLOCKS,
  IPV6_BLOCKS,
  NO_ADDRESSES,
  PUBLIC_ADDRESSES,
} from "./address-vectors.ts";
import {
  ACCEPTED_URLS,
  BROKEN_HOSTS,
  INVALID_HOSTS,
  IPV4_HOSTS,
  IPV6_HOSTS,
  OWN_HOSTS,
  REFUSED_URLS,
  SINGLE_LABEL_HOSTS,
  SPECIAL_HOSTS,
} from "./url-vectors.ts";

const POLICY: UrlPolicy = {
  allowPrivate: false,
  ports: [443, 8443],
  ownHosts: ["agents.example.net", "A2A.Example.Org."],
};

function problemOf(url: string, policy = POLICY): string {
  const checked = checkUrl(url, policy);
  return checked.ok ? `accepted as ${checked.value.href}` : checked.error.description;
}

describe("checkUrl refuses", () => {
  it.each(IPV4_HOSTS)("the IPv4 address %s", (host) => {
    expect(problemOf(`https://${host}/hook`)).toBe("must name its host instead of giving an IP address");
  });

  it.each(IPV6_HOSTS)("the IPv6 address %s", (host) => {
    expect(problemOf(`https://${host}/hook`)).toBe("must name its host instead of giving an IP address");
  });

  it.each(BROKEN_HOSTS)("the broken host %s", (host) => {
    expect(problemOf(`https://${host}/hook`)).toMatch(/^must be an absolute URL|percent-encoding/);
  });

  it.each(SINGLE_LABEL_HOSTS)("the single label %s", (host) => {
    expect(problemOf(`https://${host}/hook`)).toBe("must have a host with a domain");
  });

  it.each(SPECIAL_HOSTS)("the name %s, which is not on the Internet", (host) => {
    expect(problemOf(`https://${host}/hook`)).toMatch(/^must not have a host under \.[a-z]+,/);
  });

  it.each(INVALID_HOSTS)("the name %s, which is none", (host) => {
    expect(problemOf(`https://${host}/hook`)).toBe("must have a valid host name");
  });

  it.each(OWN_HOSTS)("this server itself, %s", (host) => {
    expect(problemOf(`https://${host}/hook`)).toBe("must not lead to this server");
  });

  it.each(REFUSED_URLS)("%j", (url, because) => {
    expect(problemOf(url)).toMatch(because);
  });
});

describe("checkUrl accepts", () => {
  it.each(ACCEPTED_URLS)("%s", (url, href) => {
    expect(checkUrl(url, POLICY)).toMatchObject({ ok: true, value: { href } });
  });

  it("the ports it is told", () => {
    const policy = { ...POLICY, ports: [4_430] };
    expect(problemOf("https://example.com:4430/", policy)).toBe("accepted as https://example.com:4430/");
    expect(problemOf("https://example.com/", policy)).toBe("must be at port 4430");
  });
});

describe("checkUrl where private targets are allowed", () => {
  const open = { ...POLICY, allowPrivate: true };

  it.each([
    "http://127.0.0.1:9000/hook",
    "http://localhost:9000/hook",
    "http://[::1]:9000/",
    "https://10.0.0.1/",
    "http://receiver:8080/",
    "http://host.docker.internal:1/",
    "http://agents.example.net/",
    "https://example.com:1234/",
  ])("accepts %s", (url) => {
    expect(problemOf(url, open)).toBe(`accepted as ${url}`);
  });

  it.each([
    ["ftp://127.0.0.1/", /http or https/],
    ["ws://127.0.0.1/", /http or https/],
    ["http://user:pass@127.0.0.1/", /user name/],
    ["http://127.0.0.1/a b", /spaces/],
    ["http://%31/", /percent/],
    ["127.0.0.1:9000", /absolute URL/],
    [`http://127.0.0.1/${"a".repeat(2_048)}`, /2048/],
  ])("refuses %s", (url, because) => {
    expect(problemOf(url, open)).toMatch(because);
  });
});

it("has at least 600 different vectors", () => {
  const edges = [...IPV4_BLOCKS, ...IPV6_BLOCKS].flatMap(([, ...addresses]) =>
    addresses.flatMap((address) => address.split(" ").slice(-1)),
  );
  const addresses = new Set([...edges, ...INNER_ADDRESSES, ...PUBLIC_ADDRESSES, ...NO_ADDRESSES]);
  const hosts = [
    IPV4_HOSTS,
    IPV6_HOSTS,
    BROKEN_HOSTS,
    SINGLE_LABEL_HOSTS,
    SPECIAL_HOSTS,
    INVALID_HOSTS,
    OWN_HOSTS,
  ];
  const urls = new Set([...hosts.flat(), ...[...REFUSED_URLS, ...ACCEPTED_URLS].map(([url]) => url)]);
  expect(addresses.size).toBeGreaterThan(300);
  expect(addresses.size + urls.size).toBeGreaterThanOrEqual(600);
});
