// What the audit is told of a push notification config.

import type { AuditEvent } from "../audit/entry.ts";
import type { By } from "./commands.ts";
import type { Lane } from "./lanes.ts";
import type { PushConfig } from "./push-configs.ts";
import { placeOf } from "./settling.ts";

/** Of where it leads only the origin: the rest of a URL may be a secret. */
export function toConfigEvent(
  kind: AuditEvent["kind"],
  config: PushConfig,
  lane: Lane | undefined,
  by: By,
  detail: AuditEvent["detail"] = {},
): AuditEvent {
  return {
    ...{ kind, ...by, agent: config.agent, task: config.task, config: config.id },
    detail: { ...(lane && { origin: placeOf(lane, config).origin }), ...detail },
  };
}
