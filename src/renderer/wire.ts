/**
 * The protocol between the driver and its render processes: the first part of a frame is JSON, the others are bytes that it
 * refers to.
 *
 * Requests of the driver are trusted. Answers are not, because they come from processes that work on input of tenants: every
 * member is checked, and only expected members are copied.
 */
import type { TemplateCheck, Validity } from '../contracts/index.ts';
import {
  ERROR_TABLE,
  isNumber,
  JsonText,
  printableLine,
  VouchsafeError,
  withOptional,
  type Dependency,
  type ErrorCode,
  type ErrorDetails,
  type WriteParam,
  type WriteParams,
} from '../core/index.ts';
import type { Frame } from '../worker-pool/index.ts';
import type { RenderLimits } from '../template/index.ts';
import type { ResponseProblem, ResponseShape } from '../vault/response.ts';
import {
  finite,
  list,
  natural,
  parseHead,
  record,
  text,
  wireError,
  type Members,
} from './wire-values.ts';

/** Deepest nesting of a write's parameters. */
const MAX_PARAM_DEPTH = 100;

/** Longest description of a response that is not usable: it quotes warnings of Vault. */
const MAX_PROBLEM_CHARACTERS = 1024;

/** A SHA-256 in base64. */
const DIGEST_CHARACTERS = 44;

/** The first request to a render process. */
export interface Setup {
  readonly limits: RenderLimits;
}

/** A template as it is sent: its text, or the name of a shipped one. */
export type SentTemplate =
  | { readonly name: string; readonly source: string }
  | { readonly name: string; readonly format: 'json' | 'env' | 'properties' | 'yaml' | 'raw' };

/** How a value is sent: as JSON, or as the text that it is. */
export type ValueKind = 'json' | 'text';

/** A request of the driver. */
export type Request =
  | {
      readonly operation: 'render';
      readonly jobs: readonly {
        readonly template: SentTemplate;
        readonly context?: { readonly dependency: Dependency; readonly key?: string };
      }[];
      /** Key and kind of each value; the value itself is the part with the same index, counted from 1. */
      readonly values: readonly (readonly [key: string, kind: ValueKind])[];
    }
  | {
      readonly operation: 'check';
      readonly templates: readonly { readonly name: string; readonly source: string }[];
    }
  /** Part 1 is the body of the response. */
  | { readonly operation: 'answer'; readonly shape: ResponseShape; readonly nowMs: number };

/** One rendered template; `content` is the index of its part, 0 if it has none. */
export interface Rendered {
  readonly content: number;
  readonly digest: string;
  /** True if there is to be no file. */
  readonly isAbsent: boolean;
  readonly used: readonly Dependency[];
  readonly missing: readonly Dependency[];
}

/** A parsed response of Vault; its value is part 1. */
export type Opened =
  | { readonly problem: ResponseProblem }
  | { readonly validity: Validity; readonly warnings: readonly string[] };

/**
 * Reads the value of a response of Vault. A short value is parsed once to check it; a long one stays bytes.
 *
 * @throws WireError
 */
export function readValue(part: Uint8Array | undefined): JsonText {
  if (part === undefined) throw wireError('a value');
  const value = new JsonText(part);
  try {
    value.parseIfShort();
  } catch {
    throw wireError('a value');
  }
  return value;
}

/** Encodes JSON as a part. */
export function headOf(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

/** Reads the results of rendering `count` templates. @throws WireError for anything else. */
export function readRendered(frame: Frame, count: number): readonly (Rendered | VouchsafeError)[] {
  const head = record(parseHead(frame[0]));
  const dependencies = list(head['dependencies']).map(readDependency);
  const named = (value: unknown): readonly Dependency[] =>
    list(value).map((index) => {
      const found = dependencies[natural(index, dependencies.length - 1)];
      if (found === undefined) throw wireError('a dependency');
      return found;
    });
  const outputs = list(head['outputs']);
  if (outputs.length !== count) throw wireError('the number of outputs');
  let parts = 1;
  const results = outputs.map((one) => {
    const output = record(one);
    if (output['error'] !== undefined) return readError(output['error']);
    const content = natural(output['content'], parts);
    // Each part is the content of one output, in the same order.
    if (content !== 0 && content !== parts) throw wireError('a content');
    if (content !== 0) parts += 1;
    const digest = text(output['digest'], content === 0 ? 0 : DIGEST_CHARACTERS);
    if (content !== 0 && digest.length !== DIGEST_CHARACTERS) throw wireError('a digest');
    const isAbsent = output['isAbsent'] === true;
    if (isAbsent && content !== 0) throw wireError('a content');
    const [used, missing] = [named(output['used']), named(output['missing'])];
    return { content, digest, isAbsent, used, missing };
  });
  requireParts(frame, parts);
  return results;
}

/** Reads the results of checking `count` templates. @throws WireError for anything else. */
export function readChecked(frame: Frame, count: number): readonly TemplateCheck[] {
  const checks = list(record(parseHead(frame[0]))['checks']);
  if (checks.length !== count) throw wireError('the number of checks');
  requireParts(frame, 1);
  return checks.map((one) => {
    const check = record(one);
    return {
      problems: list(check['problems']).map((problem) => {
        const { path, message } = record(problem);
        return { path: text(path), message: text(message) };
      }),
      dependencies: list(check['dependencies']).map(readDependency),
    };
  });
}

/** Reads a parsed response of Vault. @throws WireError for anything else. */
export function readOpened(frame: Frame): Opened {
  const head = record(parseHead(frame[0]));
  if (head['problem'] !== undefined) {
    requireParts(frame, 1);
    return { problem: readProblem(record(head['problem'])) };
  }
  requireParts(frame, 2);
  const warnings = list(head['warnings']).map((one) => text(one, 1024));
  return { validity: readValidity(record(head['validity'])), warnings };
}

/** The text becomes part of an error, so it must be safe to print. */
function readProblem({ kind, what }: Members): ResponseProblem {
  if (kind !== 'malformed' && kind !== 'no-value' && kind !== 'wrapped') throw wireError('a kind');
  return { kind, what: printableLine(text(what, MAX_PROBLEM_CHARACTERS)) };
}

function readValidity(value: Members): Validity {
  const { endsAtMs, notBeforeMs } = value;
  switch (value['kind']) {
    case 'static':
      return { kind: 'static' };
    case 'lease':
      return {
        kind: 'lease',
        leaseId: text(value['leaseId'], 4096),
        durationMs: finite(value['durationMs']),
        renewable: value['renewable'] === true,
        ...(endsAtMs !== undefined && { endsAtMs: finite(endsAtMs) }),
      };
    case 'rotation':
      return { kind: 'rotation', ttlMs: finite(value['ttlMs']) };
    case 'expires':
      return {
        kind: 'expires',
        ...(notBeforeMs !== undefined && { notBeforeMs: finite(notBeforeMs) }),
        expiresAtMs: finite(value['expiresAtMs']),
        ...(value['isStored'] === true && { isStored: true }),
        ...(value['isChild'] === true && { isChild: true }),
      };
    default:
      throw wireError('a validity');
  }
}

function readDependency(value: unknown): Dependency {
  const { kind, path, params, audiences, optional } = record(value);
  switch (kind) {
    case 'read':
      return withOptional({ kind, path: text(path) }, optional === true);
    case 'list':
      return { kind, path: text(path) };
    case 'write':
    case 'pki':
      return { kind, path: text(path), params: readParams(params) };
    case 'jwt-svid':
      return { kind, audiences: list(audiences).map((one) => text(one)) };
    case 'spiffe-id':
    case 'x509-svid':
      return { kind };
    default:
      throw wireError('a dependency');
  }
}

function readParams(value: unknown): WriteParams {
  const entries = Object.entries(record(value)).map(([name, one]) => {
    if (one === null) throw wireError('a parameter');
    return [name, readParam(one, 0)] as const;
  });
  return Object.fromEntries(entries);
}

function readParam(value: unknown, depth: number): WriteParam {
  if (depth > MAX_PARAM_DEPTH) throw wireError('a parameter');
  if (value === null || isNumber(value)) return value;
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map((item) => readParam(item, depth + 1));
  const entries = Object.entries(record(value));
  return Object.fromEntries(entries.map(([name, item]) => [name, readParam(item, depth + 1)]));
}

/** Only errors of templates: a rendering has no others, and a tenant must not be able to cause the others. */
function readError(value: unknown): VouchsafeError {
  const { code, message, details } = record(value);
  if (!isTemplateCode(code)) throw wireError('a code');
  return new VouchsafeError(code, text(message), { details: readDetails(details) });
}

function isTemplateCode(code: unknown): code is ErrorCode {
  return (
    typeof code === 'string' && code.startsWith('ERR_TEMPLATE_') && Object.hasOwn(ERROR_TABLE, code)
  );
}

function readDetails(value: unknown): ErrorDetails {
  const entries = Object.entries(record(value)).map(
    ([name, one]): [string, ErrorDetails[string]] => {
      if (typeof one === 'string' || typeof one === 'number' || typeof one === 'boolean') {
        return [name, one];
      }
      return [name, list(one).map((item) => text(item))];
    },
  );
  return Object.fromEntries(entries);
}

function requireParts(frame: Frame, count: number): void {
  if (frame.length !== count) throw wireError('the number of parts');
}
