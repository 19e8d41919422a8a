// What a notification says, typed. Verify it first: nothing here looks at a signature.
//
// The forms are those of A2A 1.0 (§4.3.3: one StreamResponse), of 0.3 and 0.1 (a task), and of a batch, an array of
// `{ id, sequence, event, payload }`. They are told apart by what is in them, which is signed: the header A2A-Version is
// not. They are not validated in depth, since who signed them has done so.

import { fromUtf8 } from "./encoding.ts";
import type { LegacyTask, OldestTask } from "./older-dialects.ts";

export type TaskState =
  | "TASK_STATE_SUBMITTED"
  | "TASK_STATE_WORKING"
  | "TASK_STATE_COMPLETED"
  | "TASK_STATE_FAILED"
  | "TASK_STATE_CANCELED"
  | "TASK_STATE_REJECTED"
  | "TASK_STATE_INPUT_REQUIRED"
  | "TASK_STATE_AUTH_REQUIRED";

type Metadata = Record<string, unknown>;

/** Exactly one of text, raw (base64), url and data. */
export type Part = {
  text?: string;
  raw?: string;
  url?: string;
  data?: unknown;
  filename?: string;
  mediaType?: string;
  metadata?: Metadata;
};

export type Message = {
  messageId: string;
  role: "ROLE_USER" | "ROLE_AGENT";
  parts: Part[];
  contextId?: string;
  taskId?: string;
  metadata?: Metadata;
  extensions?: string[];
  referenceTaskIds?: string[];
};

export type Artifact = {
  artifactId: string;
  name?: string;
  description?: string;
  parts: Part[];
  metadata?: Metadata;
  extensions?: string[];
};

export type TaskStatus = { state: TaskState; message?: Message; timestamp?: string };

export type Task = {
  id: string;
  contextId?: string;
  status: TaskStatus;
  artifacts?: Artifact[];
  history?: Message[];
  metadata?: Metadata;
};

type Update = { taskId: string; contextId: string; metadata?: Metadata };

/**
 * By its kind: `payload.kind` says which it is. Of A2A 1.0 `payload.value` is what the member of that name held, of older
 * versions the whole task.
 */
export type Payload =
  | { kind: "task"; value: Task }
  | { kind: "message"; value: Message }
  | { kind: "statusUpdate"; value: Update & { status: TaskStatus } }
  | {
      kind: "artifactUpdate";
      value: Update & { artifact: Artifact; append?: boolean; lastChunk?: boolean };
    }
  /** Of A2A 0.3. */
  | { kind: "legacyTask"; value: LegacyTask }
  /** Of A2A 0.1. */
  | { kind: "oldestTask"; value: OldestTask };

export type Notification = {
  /** The `webhook-id`, or in a batch the event's own: what to know it again by. */
  id: string;
  /** 1, 2, 3 … for each config. A gap or a step back means that something else is still to come. */
  sequence: number;
  /** What a batch calls the event, such as `completed`. */
  event?: string;
  taskId: string;
  payload: Payload;
};

export type Delivery = {
  /** The dialect: the version of A2A in which the config was set. */
  version: "1.0" | "0.3" | "0.1";
  /** 1 for the first attempt. It and the sequence of a single notification are not signed. */
  attempt: number;
  isBatch: boolean;
  /** One, or those of a batch in their order. */
  notifications: Notification[];
};

/** Fetch's Headers, or Node's object of headers. */
export type HeadersLike =
  | { get(name: string): string | null }
  | { readonly [name: string]: string | readonly string[] | undefined };

export type Parsed = { ok: true; value: Delivery } | { ok: false; error: { detail: string } };

/** Reads a notification or a batch. */
export function parseDelivery({
  headers,
  body,
}: {
  headers: HeadersLike;
  body: string | Uint8Array | ArrayBuffer;
}): Parsed {
  const json = parseJson(body);
  const id = readHeader(headers, "webhook-id") ?? "";
  const sequence = toCount(readHeader(headers, "webhook-sequence"));
  const isBatch = Array.isArray(json);
  const items = isBatch ? json.map(readItem) : [readSingle(json, id, sequence)];
  const notifications = items.filter((item) => item !== undefined);
  const versions = new Set(notifications.map(({ payload }) => versionOf(payload)));
  const [version] = versions;
  if (version === undefined || versions.size > 1 || notifications.length < items.length) {
    const detail =
      "the body is neither a StreamResponse of A2A 1.0, nor a task of 0.3 or 0.1, nor a batch of them";
    return { ok: false, error: { detail } };
  }
  const attempt = toCount(readHeader(headers, "webhook-attempt"));
  return { ok: true, value: { version, attempt, isBatch, notifications } };
}

/** The ids of the tasks that a body tells of. */
export function tasksOf(body: string | Uint8Array | ArrayBuffer): string[] {
  const json = parseJson(body);
  const payloads = Array.isArray(json)
    ? json.map((item) => (isObject(item) ? item.payload : undefined))
    : [json];
  return payloads.map((payload) => readPayload(payload)?.taskId ?? "").filter((id) => id !== "");
}

/** The value of a header, whatever its case; several are joined as HTTP joins them. */
export function readHeader(headers: HeadersLike, name: string): string | undefined {
  if (typeof headers.get === "function") return headers.get(name) ?? undefined;
  const values = Object.entries(headers).flatMap(([key, value]) =>
    key.toLowerCase() === name && value !== undefined ? value : [],
  );
  return values.length === 0 ? undefined : values.join(", ");
}

const kinds = ["task", "message", "statusUpdate", "artifactUpdate"] as const;

function readPayload(json: unknown): { taskId: string; payload: Payload } | undefined {
  if (!isObject(json)) return undefined;
  const [kind, ...others] = kinds.filter((name) => isObject(json[name]));
  if (kind === undefined) return readOlder(json);
  if (others.length > 0) return undefined;
  const value = json[kind] as Record<string, unknown>;
  const taskId = kind === "task" ? value.id : value.taskId;
  return { taskId: typeof taskId === "string" ? taskId : "", payload: { kind, value } as unknown as Payload };
}

/** A task of 0.3 says that it is one; in 0.1 nothing has a kind. */
function readOlder(value: Record<string, unknown>): { taskId: string; payload: Payload } | undefined {
  const { kind, id, status } = value;
  const isTask = typeof id === "string" && isObject(status) && typeof status.state === "string";
  if (!isTask || (kind !== "task" && kind !== undefined)) return undefined;
  const payload = { kind: kind === "task" ? "legacyTask" : "oldestTask", value } as unknown as Payload;
  return { taskId: id, payload };
}

function versionOf({ kind }: Payload): Delivery["version"] {
  if (kind === "legacyTask") return "0.3";
  return kind === "oldestTask" ? "0.1" : "1.0";
}

function readSingle(json: unknown, id: string, sequence: number): Notification | undefined {
  const read = readPayload(json);
  return read && { id, sequence, ...read };
}

function readItem(item: unknown): Notification | undefined {
  if (!isObject(item)) return undefined;
  const { id, sequence, event, payload } = item;
  const read = readPayload(payload);
  if (read === undefined || typeof id !== "string" || typeof sequence !== "number") return undefined;
  return { id, sequence, ...(typeof event === "string" && { event }), ...read };
}

function parseJson(body: string | Uint8Array | ArrayBuffer): unknown {
  const text = typeof body === "string" ? body : fromUtf8(body);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toCount(text: string | undefined): number {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
