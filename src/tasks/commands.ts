// What the Worker asks of a home, as plain data that crosses RPC.
//
// Answers come as JSON, written once and passed on as bytes. As objects they would be copied twice on the way,
// and could grow beyond the 32 MiB of an RPC value, which writes a number with nine bytes.

import type { Caller } from "../auth/caller.ts";
import type { PushConfigAnswer, PushConfigView, StoredConfig } from "../delivery/stored-config.ts";
import type { JsonBytes } from "../lib/bytes.ts";
import type { Result } from "../lib/result.ts";
import type { Failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import type { Version } from "../protocol/version.ts";
import type { IdempotencyKey } from "./idempotency-keys.ts";
import type { ListFilter, Position } from "./records.ts";

/** Who acts, and for whom: the audit names both, and limits of one caller go by the actor. */
export type By = Pick<Caller, "owner" | "actor">;

/** New work says whether it may be refused while old work is behind; by default it may not. */
export type Sheddable = { sheddable?: boolean | undefined };

export type SendCommand = Sheddable & {
  by: By;
  /** Whether the caller may decide about tools; by default it may not. */
  mayApprove?: boolean;
  agent: string;
  message: Message;
  /** The version of A2A that the message came in; absent: 1.0. */
  version?: Version;
  /** Minted by the Worker: the id of the task if this message makes one, and of the call, which may be repeated. */
  newTaskId: string;
  /** The id that the client has chosen for its task: the message continues the task, or makes it under this id. */
  chosenTaskId?: string;
  /** The context of a new task. */
  newContextId: string;
  /** Whether this command was sent before, and may have been carried out. */
  repeated: boolean;
  returnImmediately: boolean;
  historyLength?: number | undefined;
  idempotency?: IdempotencyKey | undefined;
  /** A push notification config that comes with the message. */
  push?: StoredConfig | undefined;
};

export type TaskQuery = { by: By; agent: string; id: string };

export type CancelCommand = TaskQuery & {
  /** Whether this command was sent before, and may have been carried out. */
  repeated: boolean;
};

export type GetQuery = TaskQuery & { historyLength?: number | undefined };

export type SubscribeQuery = TaskQuery & {
  /** The newest event the subscriber has seen. */
  lastEventId?: number | undefined;
};

export type ListQuery = ListFilter & {
  by: By;
  after?: Position | undefined;
  /** At most so many tasks; fewer if they are large. */
  limit: number;
  historyLength?: number | undefined;
  artifacts: boolean;
};

/** A Task as JSON, and its place in the list. */
export type ListedTask = Position & { json: JsonBytes };

export type ListAnswer = {
  tasks: ListedTask[];
  total: number;
  /** Whether there are tasks after the last of `tasks`. */
  more: boolean;
};

export type PushCommand = Sheddable & { by: By; agent: string; taskId: string; config: StoredConfig };
export type PushList = { by: By; agent: string; taskId: string };
export type PushQuery = { by: By; agent: string; taskId: string; id: string };

export type Subscription = {
  /** Lines `<seq> <StreamResponse JSON>\n`. */
  lines: ReadableStream<Uint8Array>;
  /**
   * To be disposed when nothing more is read; the runtime does it when the request ends. RPC tells an idle source
   * of a canceled stream only at its next write, and a task that waits for input may never write again.
   */
  lease: Disposable;
};

/** A home as the Worker sees it. Each call may be made twice with the same effect as once. */
export type Home = {
  /** A SendMessageResponse. */
  send(command: SendCommand): Promise<Result<JsonBytes, Failure>>;
  stream(command: SendCommand): Promise<Result<Subscription, Failure>>;
  /** A Task. */
  get(query: GetQuery): Promise<Result<JsonBytes, Failure>>;
  list(query: ListQuery): Promise<Result<ListAnswer, Failure>>;
  /** A Task. */
  cancel(command: CancelCommand): Promise<Result<JsonBytes, Failure>>;
  subscribe(query: SubscribeQuery): Promise<Result<Subscription, Failure>>;
  setPushConfig(command: PushCommand): Promise<Result<PushConfigAnswer, Failure>>;
  getPushConfig(query: PushQuery): Promise<Result<PushConfigView, Failure>>;
  listPushConfigs(query: PushList): Promise<Result<PushConfigView[], Failure>>;
  /** Answers when no notification of the config is being sent, and none will be. */
  deletePushConfig(query: PushQuery): Promise<Result<void, Failure>>;
};
