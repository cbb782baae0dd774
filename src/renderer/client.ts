/**
 * Has templates and responses of Vault processed by child processes: the thread of the caller parses none of them.
 */
import type { TemplateCheck } from '../contracts/index.ts';
import {
  isOptional,
  JsonText,
  listUpTo,
  MAX_SHORT_BYTES,
  toVouchsafeError,
  VouchsafeError,
  type Dependency,
} from '../core/index.ts';
import { BoundExceeded, type Frame, type Job, type Pool } from '../worker-pool/index.ts';
import { parseResponse, type ParsedResponse, type ResponseShape } from '../vault/response.ts';
import {
  headOf,
  readChecked,
  readOpened,
  readRendered,
  readValue,
  type Request,
  type SentTemplate,
  type ValueKind,
} from './wire.ts';
import { wireError } from './wire-values.ts';

/** Most names that an error lists. */
const MAX_NAMES = 5;

/** For whom a job is done. */
export interface Client {
  /** A namespace: tenants take turns. */
  readonly tenant: string;
  /** Called around each rendering. */
  readonly onBegin?: (() => void) | undefined;
  readonly onEnd?: (() => void) | undefined;
}

/** The bounds of a job, for the text of errors. */
export interface Bounds {
  readonly timeoutMs: number;
  readonly heapBytes: number;
  readonly frameBytes: number;
}

/** One template to render; see `RenderJob` of src/agent. */
export interface RenderJob {
  readonly template: SentTemplate;
  readonly context?: { readonly dependency: Dependency; readonly key?: string };
}

/** One rendered template; see `TemplateOutput` of src/agent. */
export interface RenderOutput {
  readonly text: undefined;
  readonly binary: Uint8Array | undefined;
  /** SHA-256 of the bytes, in base64. */
  readonly digest: string | undefined;
  /** True if there is to be no file, because the context is optional and absent. */
  readonly isAbsent: boolean;
  readonly missing: readonly Dependency[];
  readonly used: readonly Dependency[];
}

type KnownValues = ReadonlyMap<string, { readonly value: unknown }>;

/** Checks and renders templates in a pool. Every method rejects with the signal's reason on abort. */
export class Renderer {
  readonly #pool: Pick<Pool, 'do'>;
  readonly #bounds: Bounds;

  constructor(pool: Pick<Pool, 'do'>, bounds: Bounds) {
    this.#pool = pool;
    this.#bounds = bounds;
  }

  /**
   * Checks templates without data.
   *
   * @throws VouchsafeError `ERR_TEMPLATE_LIMIT`, `ERR_TEMPLATE_BUSY`
   */
  async check(
    templates: readonly { readonly name: string; readonly source: string }[],
    { tenant }: Client,
    signal: AbortSignal,
  ): Promise<readonly TemplateCheck[]> {
    const request: Request = { operation: 'check', templates };
    const subject = describeJob(templates.map(({ name }) => name));
    const read = (answer: Frame): readonly TemplateCheck[] => readChecked(answer, templates.length);
    return await this.#do({ tenant, ...job(request, []), read }, subject, signal);
  }

  /**
   * Renders templates, each on its own; see `TemplatePort` of src/agent.
   *
   * @throws VouchsafeError `ERR_TEMPLATE_LIMIT`, `ERR_TEMPLATE_BUSY`
   */
  async render(
    { jobs, values }: { readonly jobs: readonly RenderJob[]; readonly values: KnownValues },
    client: Client,
    signal: AbortSignal,
  ): Promise<readonly (RenderOutput | VouchsafeError)[]> {
    const sent = [...values].flatMap(([key, { value }]) => sentValue(key, value));
    const request: Request = {
      operation: 'render',
      jobs,
      values: sent.map(({ key, kind }) => [key, kind]),
    };
    const parts = sent.map(({ bytes }) => bytes);
    const read = (answer: Frame): readonly (RenderOutput | VouchsafeError)[] =>
      readRendered(answer, jobs.length).map((one, index) => {
        if (one instanceof VouchsafeError) return one;
        const { context } = jobs[index] ?? {};
        const mayBeAbsent = context !== undefined && isOptional(context.dependency);
        if (one.isAbsent && !mayBeAbsent) throw wireError('an absence');
        return outputOf(one, answer);
      });
    const subject = describeJob(jobs.map(({ template }) => template.name));
    return await this.#do({ ...client, ...job(request, parts), read }, subject, signal);
  }

  /**
   * Parses a response of Vault; the value is a {@link JsonText}. A short one is parsed here, because that takes no time.
   *
   * @throws VouchsafeError `ERR_TEMPLATE_LIMIT`, `ERR_TEMPLATE_BUSY`
   */
  async open(
    answer: {
      readonly body: Uint8Array;
      readonly shape: ResponseShape;
      readonly path: string;
      readonly nowMs: number;
    },
    { tenant }: Client,
    signal: AbortSignal,
  ): Promise<ParsedResponse> {
    signal.throwIfAborted();
    const { body, shape, path, nowMs } = answer;
    if (body.byteLength <= MAX_SHORT_BYTES) {
      const opened = parseResponse(body, shape, nowMs);
      return 'problem' in opened ? opened : { ...opened, value: JsonText.of(opened.value) };
    }
    const request: Request = { operation: 'answer', shape, nowMs };
    const read = (frame: Frame): ParsedResponse => {
      const opened = readOpened(frame);
      if ('problem' in opened) return opened;
      return { ...opened, value: readValue(frame[1]) };
    };
    const subject = `reading the response of Vault for ${path}`;
    return await this.#do({ tenant, ...job(request, [body]), read }, subject, signal);
  }

  async #do<T>(work: Job<T>, subject: string, signal: AbortSignal): Promise<T> {
    try {
      return await this.#pool.do(work, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BoundExceeded) throw this.#limit(error.bound, subject);
      throw toVouchsafeError(error);
    }
  }

  #limit(bound: BoundExceeded['bound'], subject: string): VouchsafeError {
    const { timeoutMs, heapBytes, frameBytes } = this.#bounds;
    const most = {
      time: `took more than ${timeoutMs / 1000} s, which is csi.rendering.timeout`,
      memory: `needed more than ${mib(heapBytes)} MiB of memory, which is csi.rendering.memory`,
      size: `takes more than ${mib(frameBytes)} MiB, including all values of the files`,
    }[bound];
    const text = `${subject} ${most}; make the templates simpler or the values shorter`;
    return new VouchsafeError('ERR_TEMPLATE_LIMIT', text, { details: { bound } });
  }
}

function job(request: Request, parts: Frame): Pick<Job<unknown>, 'operation' | 'frame'> {
  return { operation: request.operation, frame: [headOf(request), ...parts] };
}

function sentValue(
  key: string,
  value: unknown,
): readonly { readonly key: string; readonly kind: ValueKind; readonly bytes: Uint8Array }[] {
  if (value instanceof JsonText) return [{ key, kind: 'json', bytes: value.bytes }];
  if (typeof value === 'string') return [{ key, kind: 'text', bytes: Buffer.from(value) }];
  // No template can use a private key: files of an X.509-SVID are written as they are.
  if (key === 'x509-svid') return [];
  return [{ key, kind: 'json', bytes: JsonText.of(value).bytes }];
}

function outputOf(
  {
    content,
    digest,
    isAbsent,
    used,
    missing,
  }: Exclude<ReturnType<typeof readRendered>[number], VouchsafeError>,
  answer: Frame,
): RenderOutput {
  const binary = content === 0 ? undefined : answer[content];
  return { text: undefined, binary, digest: binary && digest, isAbsent, used, missing };
}

function describeJob(names: readonly string[]): string {
  return `rendering ${listUpTo(names, MAX_NAMES)}`;
}

function mib(bytes: number): number {
  return Math.floor(bytes / 2 ** 20);
}
