/**
 * Results of checks, including those for which a right is missing.
 */
import { hasCode, printableLine, toVouchsafeError } from '../core/index.ts';
import { statusOf } from '../kubernetes/index.ts';

/** `unknown`: could not be checked, which is not a failure. */
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

/** The result of a check, and what to do about it. */
export interface Result {
  readonly status: Status;
  /** One sentence; it may quote the API server or the agent. */
  readonly message: string;
  readonly remedy?: string;
}

/** One line of the report. */
export interface Finding extends Result {
  readonly group: Group;
  /** Stable name of the check: `ca-bundle`. */
  readonly check: string;
}

/** A result with a value for later checks. */
export interface ResultWith<T> extends Result {
  readonly value?: T | undefined;
}

/** Longest quotation in a message. */
const MAX_QUOTED_CHARS = 600;

/** Runs one check. A missing right results in `unknown`, any other error of the API server in `failure`. */
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

/** The result of a check that failed with an error of the API server. */
export function resultOfApiError(error: unknown): Result {
  const { message } = toVouchsafeError(error);
  return statusOf(error) === 403
    ? { status: 'unknown', message: `could not be checked: ${message}` }
    : { status: 'failure', message };
}

/** Quotes a text from outside: on one line, without control characters of a terminal. */
export function quoted(text: string): string {
  const line = printableLine(text.replace(/[\p{Zl}\p{Zp}\s]+/gu, ' ').trim());
  return line.length > MAX_QUOTED_CHARS ? `${line.slice(0, MAX_QUOTED_CHARS - 1)}…` : line;
}
