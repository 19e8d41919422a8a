// A durable turn, called a job, as the Workflow instance that runs it and the home of its task speak of it. Plain data
// that crosses RPC; an instance may be weeks old and its home of today, so members are added and never changed.

import type { Approval } from "../protocol/approvals.ts";
import type { Message } from "../protocol/message.ts";
import type { Emission } from "./emissions.ts";

/** What an instance is created with. */
export type JobParams = {
  /** The Durable Object id of the task's home. */
  home: string;
  task: string;
  /** The id of the instance, which the home trusts as long as it is the task's present one. */
  job: string;
  agent: string;
};

/** What a durable turn begins with. */
export type JobStart = {
  contextId: string;
  turnSeq: number;
  /** The message that began the turn, and its row in the journal. */
  input: Message;
  turnInput: number;
  /** What that message decides about a tool. */
  approval?: Approval;
  /** Messages up to the beginning of the turn. */
  history: Message[];
  memory: Record<string, unknown>;
  notifications: { configured: boolean; validated: boolean };
};

export type JobReport = {
  /** The emission's name in its turn; a second report of the same name is ignored. */
  key: string;
  emission: Emission;
  /** Ends the turn, whatever state it leaves the task in. */
  ending: boolean;
  /** What the turn wants remembered, with its end. */
  memory?: Map<string, unknown>;
};

/** The row of the next message, 0 if there is none, and what it decides about a tool. */
export type JobAnswer = { seq: number; over: boolean; approval?: Approval };

/** The home, as a job sees it. `job` authorizes each call. */
export type JobHome = {
  jobStart(task: string, job: string): Promise<JobStart | null>;
  jobReport(task: string, job: string, report: JobReport): Promise<boolean>;
  jobAnswer(task: string, job: string, after: number): Promise<JobAnswer>;
  jobMessage(task: string, job: string, seq: number): Promise<Message | null>;
};
