/**
 * What is told of an agent, and to whom. Who calls from inside of the pod sees everything; who calls from anywhere
 * else, the kubelet and strangers alike, sees no name, path or message.
 */
import { ERROR_TABLE, type ErrorCode } from '../core/index.ts';
import type { HttpRequest } from '../http/index.ts';
import type { AgentPhase, AgentStatus, StatusError } from './status.ts';

/** `GET /status` from outside of the pod. */
export interface BriefStatus {
  readonly phase: AgentPhase;
  /** Age of the file that was known to be right the longest ago; null where there is none. */
  readonly age_seconds: number | null;
  /** The next step of any secret; null where none has one. */
  readonly next: 'renew' | 'fetch' | null;
  readonly next_in_seconds: number | null;
  /** What fails at the moment, each code once. */
  readonly errors: readonly { readonly code: ErrorCode }[];
}

/** No other address of 127.0.0.0/8: from 127.0.0.6 a mesh's proxy hands strangers on. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1'];
/** Headers of a proxy, which may stand on loopback. */
const HANDED_ON = /^(forwarded|via|x-real-ip|x-forwarded-.*|x-envoy-.*|l5d-.*)$/;

/** True where the request began in the pod, as it does with `kubectl port-forward`. */
export function isFromInside({ peer, headers }: Pick<HttpRequest, 'peer' | 'headers'>): boolean {
  const isHandedOn = Object.keys(headers).some((name) => HANDED_ON.test(name));
  return LOOPBACK.includes(peer) && !isHandedOn;
}

/** The short form of a status. */
export function briefStatus({ phase, files, secrets, errors }: AgentStatus): BriefStatus {
  const ages = files.map(({ age_seconds }) => age_seconds);
  const steps = secrets.filter((one) => one.next_in_seconds !== null);
  const [first] = steps.sort((a, b) => (a.next_in_seconds ?? 0) - (b.next_in_seconds ?? 0));
  const codes = new Set([...errors, ...secrets.flatMap(({ error }) => error ?? [])].map(codeOf));
  return {
    phase,
    age_seconds: ages.length === 0 ? null : Math.max(...ages),
    next: first?.next ?? null,
    next_in_seconds: first?.next_in_seconds ?? null,
    errors: [...codes].map((code) => ({ code })),
  };
}

/** Errors with their own messages for those inside, and with the meaning of their codes for everybody else. */
export function visibleErrors({ errors }: AgentStatus, isInside: boolean): readonly StatusError[] {
  if (isInside) return errors;
  return [...new Set(errors.map(codeOf))].map((code) => ({
    code,
    message: ERROR_TABLE[code].meaning,
  }));
}

function codeOf({ code }: { readonly code: ErrorCode }): ErrorCode {
  return code;
}
