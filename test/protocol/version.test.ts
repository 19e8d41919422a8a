// Version negotiation (§3.6) and the list of extensions (§3.2.6).

import { describe, expect, it } from "vitest";
import { negotiateVersion, parseExtensions } from "../../src/protocol/version.ts";

describe("negotiateVersion", () => {
  it.each([
    ["1.0", undefined, true],
    ["1.0", undefined, false],
    ["1.0.1", undefined, false],
    ["1.0.99", undefined, false],
    [" 1.0 ", undefined, false],
    [undefined, "1.0", false],
    [undefined, "1.0.1", false],
    ["", "1.0", false],
    ["1.0", "0.3", false],
    [undefined, undefined, true],
    ["", undefined, true],
    ["", "", true],
    ["  ", " ", true],
  ])("answers in 1.0: header %j, query %j, 1.0 call %j (§3.6.2)", (header, query, is10Call) => {
    expect(negotiateVersion(header, query, is10Call)).toEqual({ ok: true, value: "1.0" });
  });

  it.each([
    [undefined, undefined, false, "0.3"],
    ["", "", false, "0.3"],
    ["0.3", undefined, true, "0.3"],
    ["0.3", "1.0", true, "0.3"],
    [undefined, "0.3", true, "0.3"],
    ["1", undefined, true, "1"],
    ["1.", undefined, true, "1."],
    ["v1.0", undefined, true, "v1.0"],
    ["1.0-beta", undefined, true, "1.0-beta"],
    ["1.0.1.1", undefined, true, "1.0.1.1"],
    ["1.0, 1.0", undefined, true, "1.0, 1.0"],
    ["01.0", undefined, true, "01.0"],
    ["1.00", undefined, true, "1.00"],
    ["1.1", undefined, true, "1.1"],
    ["2.0", undefined, true, "2.0"],
    ["0.5", undefined, true, "0.5"],
    ["garbage", "1.0", true, "garbage"],
    ["9".repeat(1_000), undefined, true, "9".repeat(32)],
  ])(
    "refuses header %j, query %j, 1.0 call %j, and says what it speaks (§3.3.2)",
    (header, query, is10Call, shown) => {
      expect(negotiateVersion(header, query, is10Call)).toEqual({
        ok: false,
        error: {
          reason: "VERSION_NOT_SUPPORTED",
          message: "Protocol version not supported",
          metadata: { requestedVersion: shown, supportedVersions: "1.0" },
        },
      });
    },
  );
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
