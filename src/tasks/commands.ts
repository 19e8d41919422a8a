// What the Worker asks of a home, as plain data that crosses RPC.

import type { Result } from "../lib/result.ts";
import type { Failure } from "../protocol/errors.ts";
import type { Message } from "../protocol/message.ts";
import type { Task } from "../protocol/task.ts";
import type { ListFilter, Position } from "./records.ts";
import type { IdempotencyKey } from "./store.ts";

export type SendCommand = {
  agent: string;
  message: Message;
  /** Minted by the Worker: the id of the task if this message makes one, and of the call, which may be repeated. */
  newTaskId: string;
  /** The context of a new task. */
  newContextId: string;
  /** Whether this command was sent before, and may have been carried out. */
  repeated: boolean;
  returnImmediately: boolean;
  historyLength?: number | undefined;
  idempotency?: IdempotencyKey | undefined;
};

export type SendAnswer = { task: Task } | { message: Message };

export type TaskQuery = { agent: string; id: string };

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
  after?: Position | undefined;
  /** At most so many tasks; fewer if they are large. */
  limit: number;
  historyLength?: number | undefined;
  artifacts: boolean;
};

export type ListAnswer = {
  tasks: Task[];
  total: number;
  /** Whether there are tasks after the last of `tasks`. */
  more: boolean;
};

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
  send(command: SendCommand): Promise<Result<SendAnswer, Failure>>;
  stream(command: SendCommand): Promise<Result<Subscription, Failure>>;
  get(query: GetQuery): Promise<Result<Task, Failure>>;
  list(query: ListQuery): Promise<ListAnswer>;
  cancel(command: CancelCommand): Promise<Result<Task, Failure>>;
  subscribe(query: SubscribeQuery): Promise<Result<Subscription, Failure>>;
};
