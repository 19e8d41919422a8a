// What an endpoint is given to send: the head of a lane, or the heads of several lanes in one batch.
//
// The body is made of the journal's rows, which never change, so it has the same bytes on every attempt. A batch is
// written down when it is first claimed: from then on the same notifications go together, under the same id.

import type { Claim, Following } from "../delivery/exchange.ts";
import { contentTypeOf, toPayload } from "../delivery/payload.ts";
import { utf8Length } from "../lib/bytes.ts";
import type { Journal } from "./journal.ts";
import type { Lane, Lanes, Notification } from "./lanes.ts";
import type { Entry } from "./machine.ts";
import type { PushConfig, PushConfigs } from "./push-configs.ts";
import { nameOf, upcoming } from "./upcoming.ts";

const MAX_BATCH_BYTES = 131_072;
/** What the key of a batch begins with. */
const BATCH = "batch/";

/** Notifications that follow the head of a lane in its claim, at most, and the characters of all bodies with its own. */
const FOLLOWING = 4;
const FOLLOWING_CHARS = 131_072;

/** Part of a batch: notifications of one lane. */
export type Member = { lane: Lane; notifications: readonly Notification[] };

/** A claim, and what of the home it is made of. */
export type Claimed = { claim: Claim; members: readonly Member[] };

export type ClaimsOptions = {
  lanes: Lanes;
  configs: PushConfigs;
  journal: Journal;
};

export class Claims {
  readonly #options: ClaimsOptions;

  constructor(options: ClaimsOptions) {
    this.#options = options;
  }

  /**
   * What is to be sent for this lane; undefined: nothing can be. `peers` gives the lanes that may share a batch with
   * it. Writes the membership of a new batch.
   */
  claim(lane: Lane, peers: () => readonly Lane[]): Claimed | undefined {
    const config = this.#options.configs.get(lane.task, lane.config);
    if (!config || config.deleting) return undefined;
    if (!config.batch) return this.#single(lane, config);
    if (lane.batch !== null) {
      const { members, isWhole } = this.#frozen(lane.batch);
      if (isWhole) return this.#batch(lane.batch, members, lane, config);
      this.#options.lanes.deleteBatch(lane.batch);
      // One id is one body: what is left of a batch goes on in another, and nothing joins it that was tried less often.
      if (members.length > 0) return this.#batch(this.#freeze(members), members, lane, config);
    }
    const members = this.#gather({ ...lane, batch: null }, config, peers());
    return this.#batch(this.#freeze(members), members, lane, config);
  }

  /** Whether what was claimed under this key may still be sent, all of it. */
  stands(key: string): boolean {
    if (key.startsWith(BATCH)) return this.#frozen(key.slice(BATCH.length)).isWhole;
    return this.members(key).some(({ lane }) => lane.state === "active");
  }

  /** The notifications that a claim is made of, by its key; none: it is of the past. */
  members(key: string): Member[] {
    if (key.startsWith(BATCH)) return this.#frozen(key.slice(BATCH.length)).members;
    // An id that a client chose may hold a slash; the name of a lane does not.
    const cut = key.lastIndexOf("/");
    const lane = this.#options.lanes.get(key.slice("lane/".length, cut), key.slice(cut + 1));
    return lane?.pending ? [{ lane, notifications: [headOf(lane)] }] : [];
  }

  #single(lane: Lane, config: PushConfig): Claimed | undefined {
    const head = headOf(lane);
    const entry = this.#options.journal.entry(lane.task, head[0]);
    if (!entry) return undefined;
    const body = this.#payload(lane, entry, config);
    const claim: Claim = {
      ...shared(lane, config),
      key: `lane/${lane.task}/${lane.lane}`,
      lanes: [lane.lane],
      id: notificationId(lane, head[0]),
      sequence: head[1],
      body,
      contentType: contentTypeOf(config.version),
      committedAt: entry.at,
      following: this.#following(lane, config, head, body.length),
    };
    return { claim, members: [{ lane, notifications: [head] }] };
  }

  /** Behind a head that has failed nothing follows: it would be made and carried in vain, again and again. */
  #following(lane: Lane, config: PushConfig, [seq, sequence]: Notification, headChars: number): Following[] {
    const following: Following[] = [];
    if (lane.attempt > 0 || headChars > FOLLOWING_CHARS) return following;
    const { journal } = this.#options;
    let chars = headChars;
    for (const [next, number] of upcoming(journal, lane, config.events, seq, sequence)) {
      const entry = journal.entry(lane.task, next);
      if (!entry) break;
      const body = this.#payload(lane, entry, config);
      chars += body.length;
      if (chars > FOLLOWING_CHARS) break;
      following.push({ id: notificationId(lane, next), sequence: number, body, committedAt: entry.at });
      if (following.length === FOLLOWING) break;
    }
    return following;
  }

  #batch(id: string, members: readonly Member[], lane: Lane, config: PushConfig): Claimed | undefined {
    const pieces: string[] = [];
    let committedAt = Number.POSITIVE_INFINITY;
    for (const { lane: of, notifications } of members) {
      for (const notification of notifications) {
        const entry = this.#options.journal.entry(of.task, notification[0]);
        if (!entry) continue;
        committedAt = Math.min(committedAt, entry.at);
        // The dialect is part of what those have in common that share a batch.
        pieces.push(toPiece(of, notification, nameOf(entry), this.#payload(of, entry, config)));
      }
    }
    if (pieces.length === 0) return undefined;
    const claim: Claim = {
      ...shared(lane, config),
      key: `${BATCH}${id}`,
      lanes: members.map((member) => member.lane.lane),
      id,
      sequence: members[0]?.notifications[0]?.[1] ?? 0,
      body: `[${pieces.join(",")}]`,
      contentType: "application/json",
      committedAt,
      following: [],
    };
    return { claim, members };
  }

  /** As many pending notifications as fit into one batch, lane by lane, in order. */
  #gather(first: Lane, config: PushConfig, peers: readonly Lane[]): Member[] {
    const { configs, journal } = this.#options;
    const { key, maxEvents } = config.batch ?? { key: "", maxEvents: 1 };
    const members: Member[] = [];
    let count = 0;
    let bytes = 2;
    for (const lane of [first, ...peers.filter((peer) => peer.lane !== first.lane && peer.batch === null)]) {
      const own = lane === first ? config : configs.get(lane.task, lane.config);
      if (!own || own.deleting || own.batch?.key !== key) continue;
      // What a config is sent again goes beside its own lane, never with it: a batch holds an event once.
      if (members.some((member) => member.lane.ids === lane.ids)) continue;
      const notifications: Notification[] = [];
      for (const notification of upcoming(journal, lane, own.events, lane.head - 1, lane.sequence)) {
        const entry = journal.entry(lane.task, notification[0]);
        if (!entry) continue;
        bytes += utf8Length(this.#payload(lane, entry, config)) + 200;
        // One that is too large for any batch still goes, alone.
        if (count === maxEvents || (bytes > MAX_BATCH_BYTES && count > 0)) break;
        notifications.push(notification);
        count++;
      }
      if (notifications.length > 0) members.push({ lane, notifications });
      if (count === maxEvents || bytes > MAX_BATCH_BYTES) break;
    }
    return members;
  }

  /** What is sent for a row of the journal: the same whenever it is asked. */
  #payload({ task }: Lane, { seq, body }: Entry, { version }: PushConfig): string {
    return toPayload(version, body, () => this.#options.journal.taskAt(task, seq));
  }

  /** Writes down a new batch; returns its id. */
  #freeze(members: readonly Member[]): string {
    const { lanes } = this.#options;
    const id = crypto.randomUUID();
    const stored = members.map(({ lane, notifications }) => [lane.task, lane.lane, notifications]);
    lanes.saveBatch(id, JSON.stringify(stored));
    for (const { lane } of members) {
      lane.batch = id;
      lanes.save(lane);
    }
    return id;
  }

  /** What is left of a batch: configs may have been stopped or deleted since it was first claimed. */
  #frozen(id: string): { members: Member[]; isWhole: boolean } {
    const { lanes } = this.#options;
    const stored = JSON.parse(lanes.loadBatch(id) ?? "[]") as [string, string, Notification[]][];
    const members = stored.flatMap(([task, name, notifications]) => {
      const lane = lanes.get(task, name);
      return lane?.batch === id && lane.state === "active" ? [{ lane, notifications }] : [];
    });
    return { members, isWhole: members.length > 0 && members.length === stored.length };
  }
}

/** The `webhook-id` of a notification: the same on every attempt, and when it is sent again. */
export function notificationId(lane: Lane, seq: number): string {
  return `${lane.ids}-${seq}`;
}

/** The head of a lane in which something is pending. */
export function headOf(lane: Lane): Notification {
  const listed = lane.list?.find(([seq]) => seq === lane.head);
  return listed ?? [lane.head, lane.sequence + 1];
}

function shared(lane: Lane, config: PushConfig) {
  return {
    task: lane.task,
    config: lane.config,
    target: lane.target,
    url: config.url,
    attempt: lane.attempt + 1,
    version: config.version,
    sealed: config.sealed,
    options: config.options,
    plannedAt: lane.due ?? 0,
  };
}

function toPiece(lane: Lane, [seq, sequence]: Notification, event: string, payload: string): string {
  const head = JSON.stringify({ id: notificationId(lane, seq), sequence, event });
  return `${head.slice(0, -1)},"payload":${payload}}`;
}
