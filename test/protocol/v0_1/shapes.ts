// The objects of A2A 0.1 as its JSON schema of April 2025 (specification/json/a2a.json of that time) describes them,
// written down anew: which members there are, of which type, and which must be there. Others are none.

type Check = (value: unknown, path: string) => string[];

const type =
  (name: string): Check =>
  (value, path) =>
    typeof value === name ? [] : [`${path} is no ${name}`];

const text = type("string");
const flag = type("boolean");
const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const json: Check = (value, path) => (isPlain(value) ? [] : [`${path} is no object`]);
const whole: Check = (value, path) =>
  Number.isInteger(value) && Number(value) >= 0 ? [] : [`${path} is no whole number`];
const oneOf =
  (...values: string[]): Check =>
  (value, path) =>
    values.includes(value as string) ? [] : [`${path} is none of ${values.join(", ")}`];
const time: Check = (value, path) =>
  typeof value === "string" && new Date(value).toISOString() === value ? [] : [`${path} is no time`];
const list =
  (element: Check): Check =>
  (value, path) =>
    Array.isArray(value)
      ? value.flatMap((item, i) => element(item, `${path}[${i}]`))
      : [`${path} is no array`];

/** An object of these members; a name that ends in `?` may be missing. */
function object(members: Record<string, Check>): Check {
  const required = Object.keys(members).filter((name) => !name.endsWith("?"));
  return (value, path) => {
    if (!isPlain(value)) return [`${path} is no object`];
    const missing = required.filter((name) => value[name] === undefined);
    const wrong = Object.entries(value).flatMap(([name, member]) => {
      const check = Object.hasOwn(members, name) ? members[name] : members[`${name}?`];
      return check ? check(member, `${path}.${name}`) : [`${path}.${name} is unknown`];
    });
    return [...missing.map((name) => `${path}.${name} is missing`), ...wrong];
  };
}

const content: Check = (value, path) => [
  ...object({ "name?": text, "mimeType?": text, "bytes?": text, "uri?": text })(value, path),
  ...(isPlain(value) && "bytes" in value !== "uri" in value ? [] : [`${path} is not bytes or uri`]),
];
const parts: Record<string, Check> = {
  text: object({ type: text, text, "metadata?": json }),
  file: object({ type: text, file: content, "metadata?": json }),
  data: object({ type: text, data: json, "metadata?": json }),
};
const part: Check = (value, path) =>
  (isPlain(value) && parts[String(value.type)]?.(value, path)) || [`${path} is no part`];
const message = object({ role: oneOf("user", "agent"), parts: list(part), "metadata?": json });
const artifact = object({
  "name?": text,
  "description?": text,
  parts: list(part),
  "index?": whole,
  "append?": flag,
  "lastChunk?": flag,
  "metadata?": json,
});
const status = object({
  state: oneOf("submitted", "working", "input-required", "completed", "canceled", "failed", "unknown"),
  "message?": message,
  "timestamp?": time,
});
const pushConfig = object({
  url: text,
  "token?": text,
  "authentication?": object({ schemes: list(text), "credentials?": text }),
});

const shapes = {
  Task: object({
    id: text,
    "sessionId?": text,
    status,
    "artifacts?": list(artifact),
    "history?": list(message),
    "metadata?": json,
  }),
  TaskStatusUpdateEvent: object({ id: text, status, "final?": flag, "metadata?": json }),
  TaskArtifactUpdateEvent: object({ id: text, artifact, "metadata?": json }),
  TaskPushNotificationConfig: object({ id: text, pushNotificationConfig: pushConfig }),
  JSONRPCError: object({ code: type("number"), message: text, "data?": json }),
} satisfies Record<string, Check>;

/** What keeps a value from being of this shape, as it is on the wire; nothing: it is. */
export function flawsOf(shape: keyof typeof shapes, value: unknown): string[] {
  return shapes[shape](JSON.parse(JSON.stringify(value)), shape);
}
