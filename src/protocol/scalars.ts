// The scalar types of the proto as ProtoJSON spells them. Each schema reads every spelling a conforming
// client may send and yields the one we store and send: standard base64, UTC with milliseconds, numbers
// as numbers, enums as names.

import * as z from "zod/mini";
import { named, type Schema } from "./schema.ts";
import { mustBe, refuse } from "./violations.ts";

const MAX_ID_LENGTH = 512;
const INT32_MIN = -(2 ** 31);
const INT32_MAX = 2 ** 31 - 1;

const text = z.string({ error: ({ input }) => mustBe("a string", input) }).check(
  // SQLite, UTF-8 and JSON.stringify each do something else to a lone surrogate: none may come in.
  z.refine((value) => value.isWellFormed(), "must not contain a lone surrogate"),
);

/** Any well-formed text, also the empty one. */
export const string: Schema<string> = named(text, "string", { zero: () => "" });

/** A string that must say something where it is present, as the URL of a part. */
export const nonEmptyString: Schema<string> = named(
  text.check(z.minLength(1, "must not be empty")),
  "string",
);

/** An identifier: it becomes a key, a log field and a path segment, so it is short and printable. */
export const id: Schema<string> = named(
  text.check(
    z.maxLength(MAX_ID_LENGTH, `must be at most ${MAX_ID_LENGTH} characters long`),
    z.refine((value) => !/\p{Cc}/u.test(value), "must not contain control characters"),
  ),
  "string",
  { zero: () => "" },
);

/** Why an id cannot be chosen that URLs drop from their paths, percent-encoded or not; undefined: it can be. */
export function dotSegmentFlaw(id: string): string | undefined {
  return id === "." || id === ".." ? "must not be . or .., which no URL can hold" : undefined;
}

export const bool: Schema<boolean> = named(
  z.boolean({ error: ({ input }) => mustBe("true or false", input) }),
  "bool",
  { zero: () => false },
);

/** A whole number in [min, max], sent as a number or as a decimal string; 10.0 is 10. */
export function int32(min = INT32_MIN, max = INT32_MAX): Schema<number> {
  const schema = z.transform((input: unknown, context): number => {
    const isDecimal = typeof input === "string" && /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(input);
    const value = isDecimal ? Number(input) : input;
    if (typeof value !== "number" || !Number.isInteger(value)) {
      const isNumeric = typeof input === "number" || typeof input === "string";
      refuse(context, isNumeric ? "must be a whole number" : mustBe("a whole number", input));
    } else if (value < min || value > max) refuse(context, `must be from ${min} to ${max}`);
    else return value + 0; // -0 becomes 0
    return 0;
  });
  return named(schema, "int32", { zero: () => 0 });
}

const STANDARD_BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const URL_BASE64 = /^[A-Za-z0-9_-]*={0,2}$/;

/** Base64 or base64url (RFC 4648 §4, §5), padded or not; yields canonical, padded base64. */
export const bytes: Schema<string> = named(
  z.transform((input: unknown, context): string => {
    const encoded = typeof input === "string" ? toStandardBase64(input) : undefined;
    if (encoded === undefined) {
      refuse(context, typeof input === "string" ? "must be base64" : mustBe("a base64 string", input));
    }
    return encoded ?? "";
  }),
  "bytes",
);

function toStandardBase64(encoded: string): string | undefined {
  if (!STANDARD_BASE64.test(encoded) && !URL_BASE64.test(encoded)) return undefined;
  const digits = encoded.replace(/=+$/, "").replaceAll("-", "+").replaceAll("_", "/");
  const isPadded = digits.length !== encoded.length;
  const rest = digits.length % 4;
  if (rest === 1 || (isPadded && encoded.length % 4 !== 0)) return undefined;
  if (rest === 0) return digits;
  // The last digit may carry bits that belong to no byte: only the last group needs decoding to drop them.
  return digits.slice(0, -rest) + btoa(atob(digits.slice(-rest)));
}

const TIMESTAMP =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

/** RFC 3339 with any offset; yields `YYYY-MM-DDTHH:mm:ss.sssZ` (§5.6.1), finer digits cut off. */
export const timestamp: Schema<string> = named(
  z.transform((input: unknown, context): string => {
    const normal = typeof input === "string" ? toUtcMilliseconds(input) : undefined;
    if (normal === undefined) {
      const expected = "an RFC 3339 timestamp such as 2026-01-31T12:00:00.000Z";
      refuse(context, typeof input === "string" ? `must be ${expected}` : mustBe(expected, input));
    }
    return normal ?? "";
  }),
  "Timestamp",
);

function toUtcMilliseconds(timestamp: string): string | undefined {
  const match = TIMESTAMP.exec(timestamp);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", sign, offsetHours, offsetMinutes] = match;
  const milliseconds = fraction.padEnd(3, "0").slice(0, 3);
  const local = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${milliseconds}Z`);
  // Date rolls 30 February over to March: what comes back must be the day that went in.
  if (Number.isNaN(local) || new Date(local).getUTCDate() !== Number(day)) return undefined;
  const offsetMs = (Number(offsetHours ?? 0) * 60 + Number(offsetMinutes ?? 0)) * 60_000;
  const utc = new Date(sign === "-" ? local + offsetMs : local - offsetMs);
  const isInRange = utc.getUTCFullYear() >= 1 && utc.getUTCFullYear() <= 9999;
  return isInRange ? utc.toISOString() : undefined;
}

export type EnumSchema<N extends string> = Schema<N> & {
  /** The proto's numbers, without the unspecified zero. */
  readonly numbers: Readonly<Record<N, number>>;
};

/** An enum, sent as name or number. Its zero, `unspecified`, is never a value: it means absent. */
export function enumeration<N extends string>(
  proto: string,
  unspecified: string,
  numbers: Readonly<Record<N, number>>,
): EnumSchema<N> {
  const names = Object.keys(numbers) as N[];
  const spellings = new Map<unknown, N>(
    names.flatMap((name) => [
      [name, name],
      [numbers[name], name],
    ]),
  );
  const schema = z.transform((input: unknown, context): N => {
    const name = spellings.get(input);
    if (name === undefined) refuse(context, `must be one of ${names.join(", ")}`);
    return name as N;
  });
  // UNRECOGNIZED is what the official JavaScript client writes for an enum its caller has left out.
  return Object.assign(named(schema, proto, { unspecified: [0, unspecified, "UNRECOGNIZED"] }), { numbers });
}
