// What a setting may be: a schema that reads its text, and says in words what it takes. The words stand in its error and
// in docs/configuration.md, so no range is written twice.

import * as z from "zod/mini";

/** What a setting takes, in words that also stand in its error: "must be " and this. */
export type Described = { takes: string; isSecret?: boolean };

function taking<S extends object>(takes: string, schema: S): S & Described {
  return Object.assign(schema, { takes });
}

/** A whole number, both ends included. */
export const integer = (min: number, max: number) => {
  const takes = `a whole number from ${min} to ${max}`;
  return taking(
    takes,
    z.pipe(
      z.string("must be set").check(z.regex(/^\d{1,15}$/, `must be ${takes}`)),
      z.pipe(
        z.transform(Number),
        z.number().check(z.gte(min, `must be at least ${min}`), z.lte(max, `must be at most ${max}`)),
      ),
    ),
  );
};

/** One of these texts. */
export function choice<const N extends string>(...names: [N, ...N[]]) {
  const quoted = names.map((name) => `"${name}"`);
  const takes = `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
  return taking(takes, z.enum(names, `must be ${takes}`));
}

export const flag = taking(
  '"true" or "false"',
  z.pipe(
    choice("true", "false"),
    z.transform((text) => text === "true"),
  ),
);

/** What is secret; its form is checked by who uses it, which says what is wrong without saying what it is. */
export function secret(takes: string, minLength = 1) {
  const wrong = minLength === 1 ? "must be set" : `must have at least ${minLength} characters`;
  const schema = z.string("must be set").check(z.minLength(minLength, wrong));
  return Object.assign(taking(takes, schema), { isSecret: true });
}

const list = z.pipe(
  z.string("must be set"),
  z.transform((text) =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  ),
);

/** Texts between commas; `fits` judges them all. */
export function listOf(takes: string, fits: (items: string[]) => boolean) {
  return taking(takes, z.pipe(list, z.array(z.string()).check(z.refine(fits, `must be ${takes}`))));
}

export const integers = (min: number, max: number) => {
  const takes = `whole numbers from ${min} to ${max}, separated by commas`;
  return taking(
    takes,
    z.pipe(
      list,
      z.pipe(
        z.transform((items: string[]) => items.map((item) => (/^\d{1,15}$/.test(item) ? Number(item) : -1))),
        z
          .array(z.number())
          .check(
            z.refine(
              (values) => values.length > 0 && values.every((value) => value >= min && value <= max),
              `must be ${takes}`,
            ),
          ),
      ),
    ),
  );
};

/** One text; `unset` is said where there is none. */
export function text(takes: string, fits: (text: string) => boolean, unset = `must be ${takes}`) {
  return taking(takes, z.string(unset).check(z.refine(fits, `must be ${takes}`)));
}

export const originOrEmpty = text(
  "empty or an origin such as https://agents.example.com",
  (value) => value === "" || isOrigin(value),
);

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  // A host may hold a star, which stands for nothing.
  return url?.origin === text && url.protocol.startsWith("http") && !text.includes("*");
}

export const httpsUrl = text(
  "an https URL",
  (value) => URL.parse(value)?.protocol === "https:",
  "must be set",
);

export const origins = listOf("origins such as https://app.example.com, separated by commas, or *", (items) =>
  items.every((item) => item === "*" || isOrigin(item)),
);

export const exactOrigins = listOf(
  "origins such as https://login.example.com, separated by commas",
  (items) => items.every(isOrigin),
);

export const hostNames = listOf("host names without port, separated by commas, or *", (items) =>
  items.every((item) => item === "*" || URL.parse(`http://${item}/`)?.host === item),
);
