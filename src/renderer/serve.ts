/**
 * The work of a render process: templates and responses of Vault, one frame after the other. It caches parsed templates, but
 * keeps no values.
 */
import { createHash } from 'node:crypto';
import {
  dependencyKey,
  isOptional,
  parseExactJson,
  toVouchsafeError,
  VouchsafeError,
  type Dependency,
} from '../core/index.ts';
import type { Frame } from '../worker-pool/index.ts';
import {
  checkTemplate,
  formatTemplate,
  parseTemplate,
  renderTemplate,
  type RenderLimits,
  type RenderResult,
  type Template,
} from '../template/index.ts';
// Not by its index, which brings the whole client: a render process has neither use nor room for it.
import { parseResponse } from '../vault/response.ts';
import { isHead, MAX_EXACT_PARTS, MAX_HEAD_BYTES } from './wire-values.ts';
import { headOf, type Request, type SentTemplate, type ValueKind } from './wire.ts';

/** Cached templates, and their characters together. */
const MAX_TEMPLATES = 256;
const MAX_TEMPLATE_CHARACTERS = 1024 * 1024;

/** Answers frames. */
export class RendererService {
  readonly #limits: RenderLimits;
  readonly #templates = new Map<string, Template>();
  #characters = 0;

  constructor(limits: RenderLimits) {
    this.#limits = limits;
  }

  /** Answers a request. An error that it throws is a defect, or the process is out of memory. */
  answer(frame: Frame): Frame {
    const [head = new Uint8Array(), ...parts] = frame;
    const request = parseExactJson(Buffer.from(head).toString()) as Request; // the driver sends nothing else
    switch (request.operation) {
      case 'render':
        return this.#render(request, parts);
      case 'check': {
        const checks = request.templates.map(({ source, name }) => checkTemplate(source, name));
        const answer = headOf({ checks });
        return [isHead(answer) ? answer : headOf({ checks: checks.map(tooMany) })];
      }
      case 'answer': {
        const opened = parseResponse(parts[0] ?? new Uint8Array(), request.shape, request.nowMs);
        if ('problem' in opened) return [headOf(opened)];
        const { value, validity, warnings } = opened;
        return [headOf({ validity, warnings: warnings.slice(0, 16) }), headOf(value)];
      }
    }
  }

  #render({ jobs, values }: Extract<Request, { operation: 'render' }>, parts: Frame): Frame {
    const known = new Map(values.map(([key, kind], index) => [key, valueOf(kind, parts[index])]));
    const lookup = (dependency: Dependency): { readonly value: unknown } | undefined =>
      known.get(dependencyKey(dependency));
    const results = jobs.map(({ template, ...context }) => {
      try {
        const input = { ...context, lookup };
        return renderTemplate(this.#templateOf(template), input, this.#limits);
      } catch (error) {
        return toVouchsafeError(error);
      }
    });
    const answer = answerOf(results);
    if (isHead(answer[0])) return answer;
    const most = `${MAX_HEAD_BYTES} bytes, or ${MAX_EXACT_PARTS} values with numbers such as 1.0`;
    const text = `the dependencies and errors of the templates take more than ${most}`;
    return answerOf(results.map(() => new VouchsafeError('ERR_TEMPLATE_LIMIT', text)));
  }

  #templateOf(sent: SentTemplate): Template {
    if ('format' in sent) return formatTemplate(sent.format);
    const { name, source } = sent;
    const key = JSON.stringify([name, source]);
    const template = this.#templates.get(key) ?? parseTemplate(source, name);
    // The least recently used template is evicted first.
    if (!this.#templates.delete(key)) this.#characters += key.length;
    this.#templates.set(key, template);
    for (const oldest of this.#templates.keys()) {
      const isFull = this.#templates.size > MAX_TEMPLATES;
      if (!isFull && this.#characters <= MAX_TEMPLATE_CHARACTERS) break;
      this.#templates.delete(oldest);
      this.#characters -= oldest.length;
    }
    return template;
  }
}

function tooMany(): { problems: readonly object[]; dependencies: readonly [] } {
  const message = `has problems and dependencies of more than ${MAX_HEAD_BYTES} bytes`;
  return { problems: [{ path: 'template', message }], dependencies: [] };
}

/** Parses the value at its first use. */
function valueOf(
  kind: ValueKind,
  part: Uint8Array = new Uint8Array(),
): { readonly value: unknown } {
  let opened: { readonly value: unknown } | undefined;
  return {
    get value() {
      const text = (): string => Buffer.from(part).toString();
      opened ??= { value: kind === 'text' ? text() : parseExactJson(text()) };
      return opened.value;
    },
  };
}

function answerOf(results: readonly (RenderResult | VouchsafeError)[]): Frame {
  const dependencies = new Map<
    string,
    { readonly index: number; readonly dependency: Dependency }
  >();
  const indexOf = (dependency: Dependency): number => {
    const key = `${isOptional(dependency) ? 'optional ' : ''}${dependencyKey(dependency)}`;
    const known = dependencies.get(key) ?? { index: dependencies.size, dependency };
    dependencies.set(key, known);
    return known.index;
  };
  const contents: Uint8Array[] = [];
  const outputs = results.map((result) => {
    if (result instanceof VouchsafeError) {
      const { code, message, details } = result;
      return { error: { code, message, details } };
    }
    const { text, binary, isAbsent, used, missing } = result;
    const content = binary ?? (text === undefined ? undefined : Buffer.from(text));
    if (content !== undefined) contents.push(content);
    return {
      content: content === undefined ? 0 : contents.length,
      digest: content === undefined ? '' : digestOf(content),
      isAbsent,
      used: used.map(indexOf),
      missing: missing.map(indexOf),
    };
  });
  const all = [...dependencies.values()].map(({ dependency }) => dependency);
  return [headOf({ dependencies: all, outputs }), ...contents];
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('base64');
}
