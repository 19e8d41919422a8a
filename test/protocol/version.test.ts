// Version negotiation (§3.6) and the list of extensions (§3.2.6).

import { describe, expect, it } from "vitest";
import { parseExtensions, requestedVersion, VERSIONS } from "../../src/protocol/version.ts";

describe("requestedVersion", () => {
  it.each([
    ["1.0", undefined, "1.0"],
    ["1.0.1", undefined, "1.0"],
    ["1.0.99", undefined, "1.0"],
    [" 1.0 ", undefined, "1.0"],
    [undefined, "1.0", "1.0"],
    [undefined, "1.0.1", "1.0"],
    ["", "1.0", "1.0"],
    ["1.0", "0.3", "1.0"],
    ["0.3", "1.0", "0.3"],
    ["0.3.0", undefined, "0.3"],
    [undefined, "0.3", "0.3"],
    [undefined, undefined, undefined],
    ["", undefined, undefined],
    ["", "", undefined],
    ["  ", " ", undefined],
  ])("reads header %j with query %j as %j (§3.6.2)", (header, query, version) => {
    expect(requestedVersion(header, query, VERSIONS)).toEqual({ ok: true, value: version });
  });

  it.each([
    ["1", undefined, "1"],
    ["1.", undefined, "1."],
    ["v1.0", undefined, "v1.0"],
    ["1.0-beta", undefined, "1.0-beta"],
    ["1.0.1.1", undefined, "1.0.1.1"],
    ["1.0, 1.0", undefined, "1.0, 1.0"],
    ["01.0", undefined, "01.0"],
    ["1.00", undefined, "1.00"],
    ["1.1", undefined, "1.1"],
    ["2.0", undefined, "2.0"],
    ["0.5", undefined, "0.5"],
    ["00.3", undefined, "00.3"],
    ["garbage", "1.0", "garbage"],
    ["9".repeat(1_000), undefined, "9".repeat(32)],
  ])("refuses header %j with query %j, and says what is served (§3.3.2)", (header, query, shown) => {
    expect(requestedVersion(header, query, VERSIONS)).toEqual({
      ok: false,
      error: {
        reason: "VERSION_NOT_SUPPORTED",
        message: "Protocol version not supported",
        metadata: { requestedVersion: shown, supportedVersions: VERSIONS.join(", ") },
      },
    });
  });

  it("refuses a version that this server knows and does not serve", () => {
    const refused = requestedVersion("0.3", undefined, ["1.0"]);
    expect(refused).toMatchObject({ ok: false, error: { metadata: { supportedVersions: "1.0" } } });
  });
});

describe("parseExtensions", () => {
  it.each([
    [undefined, []],
    ["", []],
    [" , ,", []],
    ["https://a.example/x", ["https://a.example/x"]],
    [" https://a.example/x ,https://b.example/y,", ["https://a.example/x", "https://b.example/y"]],
    ["urn:b,urn:a,urn:b", ["urn:b", "urn:a"]],
    ["urn:A,urn:a", ["urn:A", "urn:a"]],
  ])("reads %j as %j (§3.2.6)", (header, extensions) => {
    expect(parseExtensions(header)).toEqual(extensions);
  });
});
