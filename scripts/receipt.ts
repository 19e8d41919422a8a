// How `npm run receiver` prints a notification: a few lines for a human, without colours where nobody sees them.
//
// What arrives may be hostile, and a terminal obeys control characters: none is printed.

import type { IncomingHttpHeaders } from "node:http";
import type {
  LegacyFile,
  LegacyPart,
  Notification,
  OldestPart,
  Part,
  parseDelivery,
} from "../src/verify/index.ts";
import type { Verdict } from "./receiver-checks.ts";

export type Receipt = {
  headers: IncomingHttpHeaders;
  verdict: Verdict;
  delivery: ReturnType<typeof parseDelivery>;
  isDuplicate: boolean;
  /** The status it is answered with. */
  code: number;
};

const MAX_TEXT = 300;

const isColoured = process.stdout.isTTY === true && !process.env.NO_COLOR;
const paint = (code: number) => (text: string) => (isColoured ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, red, green, yellow] = [paint(1), paint(31), paint(32), paint(33)];

export function describeReceipt({ headers, verdict, delivery, isDuplicate, code }: Receipt): string {
  const id = headers["webhook-id"] ?? "none";
  const first = [`Notification ${id}`];
  if (headers["webhook-attempt"] !== undefined) first.push(`attempt ${headers["webhook-attempt"]}`);
  if (isDuplicate) first.push("duplicate");
  const lines = [bold(clean(first.join(" · ")))];
  if (delivery.ok) lines.push(...delivery.value.notifications.flatMap(describe));
  else lines.push(`  ${yellow(delivery.error.detail)}`);
  lines.push(`  ${describeVerdict(verdict)} · answered ${code}`);
  return `${lines.join("\n")}\n`;
}

function describeVerdict(verdict: Verdict): string {
  if (!verdict.ok) return red(`refused: ${verdict.error.reason} (${clean(verdict.error.detail)})`);
  const { checks } = verdict.value;
  if (checks.length === 0) return yellow("not verified");
  const signatures = checks.filter((check) => check === "v1" || check === "v1a");
  const said = signatures.length > 0 ? [`signature verified (${signatures.join(", ")})`] : [];
  if (checks.includes("token")) said.push("token verified");
  if (checks.includes("jwt")) said.push("JWT verified");
  return green(said.join(" · "));
}

/** The first line says where it stands and what it is, the second what was said. */
function describe({ sequence, taskId, event, payload }: Notification): string[] {
  const { kind, state, text } = summarize(payload);
  const what = [`#${sequence}`, event ?? kind, ...(state ? [state] : []), `task ${taskId}`];
  const lines = [`  ${clean(what.join(" · "))}`];
  if (text !== "") lines.push(`  "${clean(text)}"`);
  return lines;
}

function summarize(payload: Notification["payload"]): { kind: string; state?: string; text: string } {
  const { kind, value } = payload;
  switch (kind) {
    case "task":
    case "statusUpdate":
    case "legacyTask":
    case "oldestTask":
      return { kind, state: value.status?.state, text: textOf(value.status?.message?.parts) };
    case "artifactUpdate":
      return { kind, state: value.artifact?.name ?? "", text: textOf(value.artifact?.parts) };
    case "message":
      return { kind, text: textOf(value.parts) };
  }
}

/** What parts say in words; what they hold otherwise is named by its kind. */
function textOf(parts: readonly (Part | LegacyPart | OldestPart)[] | undefined): string {
  if (!Array.isArray(parts)) return "";
  const words = parts.map((part) => {
    const { text, data, file, ...rest } = (part ?? {}) as Part & { file?: LegacyFile };
    if (typeof text === "string") return text;
    if (data !== undefined) return JSON.stringify(data);
    const names = [rest.url, rest.filename, rest.mediaType, file?.uri, file?.name, file?.mimeType];
    return `[${names.find((name) => name !== undefined) ?? "file"}]`;
  });
  return words.join(" ");
}

function clean(text: string): string {
  const visible = String(text).replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]+/gu, " ");
  return visible.length > MAX_TEXT ? `${visible.slice(0, MAX_TEXT)}…` : visible;
}
