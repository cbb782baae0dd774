/**
 * Which parts of the status a caller may see. A caller inside the pod sees everything; any other caller, the kubelet
 * included, sees no name, path or message.
 */
import { ERROR_TABLE, type ErrorCode } from '../core/index.ts';
import type { HttpRequest } from '../http/index.ts';
import type { AgentPhase } from './phase.ts';
import type { AgentStatus, StatusError } from './status.ts';

/** `GET /status` from outside the pod. */
export interface BriefStatus {
  readonly phase: AgentPhase;
  /** The greatest age of a file; null if there is none. */
  readonly age_seconds: number | null;
  /** The next step of any secret; null if there is none. */
  readonly next: 'renew' | 'fetch' | null;
  readonly next_in_seconds: number | null;
  /** The codes of all current failures, each once. */
  readonly errors: readonly { readonly code: ErrorCode }[];
}

/** No other address of 127.0.0.0/8: a mesh proxy forwards requests from outside from 127.0.0.6. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1'];
/** Headers that proxies add; a proxy may itself connect from loopback. */
const FORWARDED = /^(forwarded|via|x-real-ip|x-forwarded-.*|x-envoy-.*|l5d-.*)$/;

/** True if the request was made in the pod, as with `kubectl port-forward`. */
export function isFromInside({ peer, headers }: Pick<HttpRequest, 'peer' | 'headers'>): boolean {
  const isForwarded = Object.keys(headers).some((name) => FORWARDED.test(name));
  return LOOPBACK.includes(peer) && !isForwarded;
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

/** Errors with their messages for callers inside the pod, and with the meaning of their codes for all others. */
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
