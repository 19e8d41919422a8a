// Calls to the whole server, as clients make them, and hostile params that both bindings must refuse alike (§5.1).

import { exports } from "cloudflare:workers";

export const ORIGIN = "https://agents.test";

export const send = (path: string, init?: RequestInit): Promise<Response> =>
  exports.default.fetch(new Request(`${ORIGIN}${path}`, init));

export type Detail = {
  reason?: string;
  domain?: string;
  fieldViolations?: { field: string; description: string }[];
};

let owners = 0;

/** An owner that nobody else has, so that "nothing was stored" can be counted. */
export const newOwner = () => `owner-${owners++}`;

type Listed = { result: { totalSize: number } };

/** How many tasks an owner has, of any agent. */
export async function countTasks(owner: string): Promise<number> {
  const counts = await Promise.all(
    ["", "interview", "conformance"].map(async (agent) => {
      const response = await send(`/${agent}`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-dev-owner": owner },
        body: '{"jsonrpc":"2.0","id":1,"method":"ListTasks"}',
      });
      return (await response.json<Listed>()).result.totalSize;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Arrays nested `depth` deep. */
export function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

const message = { messageId: "m-1", role: "ROLE_USER", parts: [{ text: "hello" }] };
const withMessage = (wrong: object) => ({ message: { ...message, ...wrong } });
const withPart = (...parts: unknown[]) => withMessage({ parts });
const withConfiguration = (configuration: unknown) => ({ message, configuration });

export const hello = { message };

/** What is wrong, the params of SendMessage, and the field that the refusal must name. */
export const hostileMessages: [string, object, string][] = [
  ["no message", {}, "message"],
  ["a message that is text", { message: "hello" }, "message"],
  ["a message that is a list", { message: [message] }, "message"],
  [
    "a message in the prototype",
    JSON.parse(`{"__proto__":{"message":${JSON.stringify(message)}}}`),
    "message",
  ],
  ["no messageId", withMessage({ messageId: undefined }), "message.messageId"],
  ["an empty messageId", withMessage({ messageId: "" }), "message.messageId"],
  ["a messageId that is a number", withMessage({ messageId: 7 }), "message.messageId"],
  ["half of a surrogate pair in the messageId", withMessage({ messageId: "\ud800" }), "message.messageId"],
  ["no role", withMessage({ role: undefined }), "message.role"],
  ["a role of 0.3", withMessage({ role: "user" }), "message.role"],
  ["an unknown role", withMessage({ role: 99 }), "message.role"],
  ["a taskId that is an object", withMessage({ taskId: {} }), "message.taskId"],
  ["half of a surrogate pair in the contextId", withMessage({ contextId: "a\udfff" }), "message.contextId"],
  ["no parts", withMessage({ parts: undefined }), "message.parts"],
  ["parts that are null", withMessage({ parts: null }), "message.parts"],
  ["empty parts", withMessage({ parts: [] }), "message.parts"],
  ["parts that are no list", withMessage({ parts: { text: "x" } }), "message.parts"],
  ["10,000 parts", withMessage({ parts: Array(10_000).fill({ text: "x" }) }), "message.parts"],
  ["a part that is null", withPart({ text: "x" }, null), "message.parts[1]"],
  ["a part that is text", withPart("hello"), "message.parts[0]"],
  ["a part without content", withPart({}), "message.parts[0]"],
  ["a part with nothing but metadata", withPart({ metadata: {} }), "message.parts[0]"],
  ["a part with two contents", withPart({ text: "x", url: "https://example.com/" }), "message.parts[0]"],
  ["content in a prototype", withPart(JSON.parse('{"__proto__":{"text":"x"}}')), "message.parts[0]"],
  ["text that is a number", withPart({ text: 5 }), "message.parts[0].text"],
  ["half of a surrogate pair in a text", withPart({ text: "a\ud83d" }), "message.parts[0].text"],
  ["raw bytes that are no base64", withPart({ raw: "!!!!" }), "message.parts[0].raw"],
  ["base64 of an impossible length", withPart({ raw: "QUJDR" }), "message.parts[0].raw"],
  ["raw bytes that are a list", withPart({ raw: [1, 2] }), "message.parts[0].raw"],
  ["metadata that is text", withMessage({ metadata: "x" }), "message.metadata"],
  ["extensions that are text", withMessage({ extensions: "x" }), "message.extensions"],
  [
    "a reference that is a number",
    withMessage({ referenceTaskIds: ["a", 1] }),
    "message.referenceTaskIds[1]",
  ],
  ["a configuration that is a list", withConfiguration([]), "configuration"],
  ["a negative historyLength", withConfiguration({ historyLength: -1 }), "configuration.historyLength"],
  ["a fractional historyLength", withConfiguration({ historyLength: 1.5 }), "configuration.historyLength"],
  [
    "a historyLength beyond int32",
    withConfiguration({ historyLength: 2 ** 31 }),
    "configuration.historyLength",
  ],
  [
    "returnImmediately as text",
    withConfiguration({ returnImmediately: "yes" }),
    "configuration.returnImmediately",
  ],
  ["a tenant that is a number", { ...hello, tenant: 5 }, "tenant"],
  ["a tenant that nobody is", { ...hello, tenant: "nobody" }, "tenant"],
];

/** Ids of tasks that do not exist, of every shape. */
export const forgedIds = [
  "nothing",
  "0-018f0000-0000-7000-8000-000000000000",
  "63-018f0000-0000-7000-8000-000000000000",
  "9999-018f0000-0000-7000-8000-000000000000",
  "00-018f0000-0000-7000-8000-000000000000",
  "-1-018f0000-0000-7000-8000-000000000000",
  "../0-018f0000-0000-7000-8000-000000000000",
  "__proto__",
  "constructor",
  "'; DROP TABLE tasks; --",
  "é\u{1F600}",
];

/** What is wrong and the params of ListTasks as a query, and the field that the refusal must name. */
export const hostileLists: [string, Record<string, string>, string][] = [
  ["a page of nothing", { pageSize: "0" }, "pageSize"],
  ["a page of less", { pageSize: "-1" }, "pageSize"],
  ["a page of 101", { pageSize: "101" }, "pageSize"],
  ["a fractional page", { pageSize: "1.5" }, "pageSize"],
  ["a page of text", { pageSize: "many" }, "pageSize"],
  ["a cursor that is no base64", { pageToken: "!!!" }, "pageToken"],
  ["a cursor of rubbish", { pageToken: "Z2FyYmFnZQ" }, "pageToken"],
  ["a cursor that was forged", { pageToken: btoa('[1,"0-1","0000000000000000"]') }, "pageToken"],
  ["a cursor of wrong types", { pageToken: btoa("[null,{},[]]") }, "pageToken"],
  ["a negative historyLength", { historyLength: "-5" }, "historyLength"],
  ["a status of 0.3", { status: "working" }, "status"],
  ["an unknown status", { status: "TASK_STATE_DREAMING" }, "status"],
  ["a time that is none", { statusTimestampAfter: "yesterday" }, "statusTimestampAfter"],
  ["includeArtifacts as text", { includeArtifacts: "yes" }, "includeArtifacts"],
];
