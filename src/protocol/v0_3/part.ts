// Parts of A2A 0.3: text, file (bytes or uri) and data. Only a file has a media type and a name there, so what a
// text or data part of 1.0 says of them is lost on the way.
//
// Data of 0.3 is an object. Any other value of 1.0 travels as `{ value }` under a mark in the metadata, which is how
// the official SDKs do it, so that both sides of a bridge find it again.

import type * as z from "zod/mini";
import type { Part } from "../part.ts";
import { bytes, nonEmptyString, string } from "../scalars.ts";
import { message, required } from "../schema.ts";
import { type JsonObject, type JsonValue, Struct, Value } from "../struct.ts";
import { isObject } from "../violations.ts";
import { byKind } from "./kind.ts";

const WRAPPED = "data_part_compat";

// Oneofs of one member: required, and allowed to be empty.
const TextPart = message("TextPart", { metadata: Struct }, { text: string });
const LegacyFile = message("File", { name: string, mimeType: string }, { bytes, uri: nonEmptyString });
const FilePart = message("FilePart", { file: required(LegacyFile), metadata: Struct });
const DataPart = message("DataPart", { metadata: Struct }, { data: Value });

export const LegacyPart = byKind("Part", { text: TextPart, file: FilePart, data: DataPart });
export type LegacyPart = z.infer<typeof LegacyPart>;

export function toCorePart(part: LegacyPart): Part {
  switch (part.kind) {
    case "text":
      return { text: part.text, ...withMetadata(part.metadata) };
    case "file":
      return toCoreFile(part);
    case "data":
      return part.metadata?.[WRAPPED] === true
        ? { data: unwrap(part.data), ...withMetadata(withoutMark(part.metadata)) }
        : { data: part.data, ...withMetadata(part.metadata) };
  }
}

function toCoreFile({ file, metadata }: LegacyPart & { kind: "file" }): Part {
  return {
    ...(file.bytes === undefined ? { url: file.uri } : { raw: file.bytes }),
    ...(file.name !== undefined && { filename: file.name }),
    ...(file.mimeType !== undefined && { mediaType: file.mimeType }),
    ...withMetadata(metadata),
  };
}

export function toLegacyPart(part: Part): LegacyPart {
  const { metadata } = part;
  if (part.text !== undefined) return { kind: "text", text: part.text, ...withMetadata(metadata) };
  if (part.data !== undefined) {
    return isObject(part.data)
      ? { kind: "data", data: part.data, ...withMetadata(metadata) }
      : { kind: "data", data: { value: part.data }, metadata: { ...metadata, [WRAPPED]: true } };
  }
  const file = {
    ...(part.raw === undefined ? { uri: part.url } : { bytes: part.raw }),
    ...(part.filename !== undefined && { name: part.filename }),
    ...(part.mediaType !== undefined && { mimeType: part.mediaType }),
  };
  return { kind: "file", file, ...withMetadata(metadata) };
}

function withMetadata(metadata: JsonObject | undefined): { metadata?: JsonObject } {
  return metadata === undefined ? {} : { metadata };
}

function unwrap(data: JsonValue): JsonValue {
  return isObject(data) && Object.hasOwn(data, "value") ? (data.value as JsonValue) : data;
}

/** Made of own properties, so that a key `__proto__` stays one. */
function withoutMark(metadata: JsonObject): JsonObject | undefined {
  const rest = Object.entries(metadata).filter(([key]) => key !== WRAPPED);
  return rest.length === 0 ? undefined : Object.fromEntries(rest);
}
