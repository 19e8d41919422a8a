// A card as the strictest kit reads it: every field is one of the proto's, required ones are there, nothing is null.

import proto from "../fixtures/proto/a2a.json";

type Field = { json: string; type: string; required?: boolean; repeated?: boolean; map?: boolean };

const messages = proto.messages as Record<string, Field[] | undefined>;

/** What is wrong with a 1.0 card, one sentence each. */
export function strictProblems(card: unknown): string[] {
  return problemsOf("AgentCard", card, []);
}

function problemsOf(type: string, value: unknown, path: string[]): string[] {
  const at = (name: string) => [...path, name].join(".");
  const fields = messages[type];
  // Struct and the scalars.
  if (fields === undefined) return value === null ? [`${path.join(".")} is null`] : [];
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return [`${path.join(".")} is no object`];
  }
  const members = Object.entries(value);
  const unknown = members.filter(([name]) => !fields.some(({ json }) => json === name));
  const missing = fields.filter(
    ({ json, required }) => required && isEmpty((value as Record<string, unknown>)[json]),
  );
  return [
    ...unknown.map(([name]) => `${at(name)} is unknown`),
    ...missing.map(({ json }) => `${at(json)} is missing`),
    ...fields.flatMap(({ json, type: inner, repeated, map }) => {
      const member = (value as Record<string, unknown>)[json];
      if (member === undefined) return [];
      if (!repeated && !map) return problemsOf(inner, member, [...path, json]);
      return Object.entries(member as object).flatMap(([key, item]) =>
        problemsOf(inner, item, [...path, json, key]),
      );
    }),
  ];
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
}
