/**
 * What a check finds, and how a check that lacks the right for it ends.
 */
import { hasCode, printableLine, toVouchsafeError } from '../core/index.ts';
import { statusOf } from '../kubernetes/index.ts';

/** `unknown` is what could not be checked; it is no failure. */
export type Status = 'ok' | 'warning' | 'failure' | 'unknown';

/** Groups of checks, in the order in which they run. */
export const GROUPS = {
  'api-server': 'API server',
  webhook: 'Webhook',
  'admission-policy': 'Admission policy',
  values: 'Values of the installation',
  prerequisites: "The agent's prerequisites",
  csi: 'CSI driver',
  pods: 'Pods',
} as const;
/** One of {@link GROUPS}. */
export type Group = keyof typeof GROUPS;

/** What was found, and what to do about it. */
export interface Result {
  readonly status: Status;
  /** One sentence, maybe with the words of the API server or of the agent. */
  readonly message: string;
  readonly remedy?: string;
}

/** One line of the report. */
export interface Finding extends Result {
  readonly group: Group;
  /** Stable name of the check: `ca-bundle`. */
  readonly check: string;
}

/** A result with something that later checks go by. */
export interface ResultWith<T> extends Result {
  readonly value?: T | undefined;
}

/** Longest part of a message that others wrote. */
const MAX_QUOTED_CHARS = 600;

/** Runs one check. A right that is missing gives `unknown`, an API that does not answer `failure`. */
export async function runCheck<T>(
  group: Group,
  check: string,
  run: () => Promise<ResultWith<T>>,
): Promise<{ readonly finding: Finding; readonly value: T | undefined }> {
  try {
    const { value, ...result } = await run();
    return { finding: { group, check, ...result }, value };
  } catch (caught) {
    if (!hasCode(caught, 'ERR_KUBERNETES_API')) throw caught;
    return { finding: { group, check, ...resultOfApiError(caught) }, value: undefined };
  }
}

/** What an error of the API means for a check. */
export function resultOfApiError(error: unknown): Result {
  const { message } = toVouchsafeError(error);
  return statusOf(error) === 403
    ? { status: 'unknown', message: `could not be checked: ${message}` }
    : { status: 'failure', message };
}

/** Words that others wrote, on one line and without what would steer a terminal. */
export function quoted(text: string): string {
  const line = printableLine(text.replace(/[\p{Zl}\p{Zp}\s]+/gu, ' ').trim());
  return line.length > MAX_QUOTED_CHARS ? `${line.slice(0, MAX_QUOTED_CHARS - 1)}…` : line;
}
