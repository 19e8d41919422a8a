import { describe, expect, it } from "vitest";
import { parseEnvelope } from "../../../src/transports/jsonrpc/envelope.ts";

const valid = { jsonrpc: "2.0", id: 1, method: "GetTask", params: { id: "x" } };

describe("a request object (JSON-RPC 2.0 §4)", () => {
  it("gives its method and params", () => {
    expect(parseEnvelope(valid)).toEqual({
      id: 1,
      request: { ok: true, value: { method: "GetTask", params: { id: "x" } } },
    });
  });

  it("may leave out its params", () => {
    const { params: _, ...request } = valid;
    expect(parseEnvelope(request).request).toEqual({ ok: true, value: { method: "GetTask", params: {} } });
  });

  it.each([0, -7, 2 ** 53 - 1, "", "0", "é\u{1F600}", "x".repeat(10_000), null])("keeps the id %j", (id) => {
    expect(parseEnvelope({ ...valid, id })).toMatchObject({ id, request: { ok: true } });
  });

  it("has the id null when it has none", () => {
    const { id: _, ...notification } = valid;
    expect(parseEnvelope(notification)).toMatchObject({ id: null, request: { ok: true } });
  });

  it.each([
    ["a fraction", 1.5],
    ["beyond 53 bits", 2 ** 53],
    ["an object", {}],
    ["an array", [1]],
    ["a boolean", false],
    ["half of a surrogate pair", "\ud800"],
  ])("is refused under the id null when its id is %s", (_, id) => {
    expect(parseEnvelope({ ...valid, id })).toMatchObject({
      id: null,
      request: { ok: false, error: { reason: "INVALID_REQUEST" } },
    });
  });

  it.each([
    ["another version", { jsonrpc: "1.0" }],
    ["the version as a number", { jsonrpc: 2.0 }],
    ["no version", { jsonrpc: undefined }],
    ["a method that is no text", { method: 1 }],
    ["no method", { method: undefined }],
    ["half of a surrogate pair in its method", { method: "Get\udc00Task" }],
  ])("is refused under its own id when it has %s", (_, wrong) => {
    expect(parseEnvelope({ ...valid, ...wrong })).toMatchObject({
      id: 1,
      request: { ok: false, error: { reason: "INVALID_REQUEST" } },
    });
  });

  it.each([
    ["an array", []],
    ["null", null],
    ["a text", "x"],
    ["a number", 0],
  ])("is refused when its params are %s", (_, params) => {
    expect(parseEnvelope({ ...valid, params })).toMatchObject({
      id: 1,
      request: { ok: false, error: { reason: "INVALID_PARAMS", violations: [{ field: "params" }] } },
    });
  });

  it("is refused when a param has an empty name", () => {
    expect(parseEnvelope({ ...valid, params: { "": 1 } })).toMatchObject({
      id: 1,
      request: { ok: false, error: { reason: "INVALID_PARAMS", violations: [{ field: "params" }] } },
    });
  });

  it.each([
    ["a text", "x"],
    ["null", null],
    ["a number", 1],
    ["a boolean", true],
  ])("is not %s", (_, value) => {
    expect(parseEnvelope(value)).toMatchObject({
      id: null,
      request: { error: { reason: "INVALID_REQUEST" } },
    });
  });

  it("is not a batch, whose refusal says so", () => {
    expect(parseEnvelope([valid])).toMatchObject({
      id: null,
      request: { error: { reason: "INVALID_REQUEST", message: expect.stringContaining("Batches") } },
    });
  });
});
