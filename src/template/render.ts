/**
 * Walks a template over values. What Handlebars does, this does too, with these differences: no prototypes, no
 * HTML escaping, missing keys are errors, objects do not print, and values that are not there yet are
 * collected instead of awaited. Ring: template.
 */
import {
  dependencyKey,
  hasCode,
  isVaultDependency,
  VouchsafeError,
  type Dependency,
} from '../core/index.ts';
import { Fault, locate, missingKey, valueFault } from './fault.ts';
import { HelperCall, type Need } from './helper.ts';
import { Output } from './output.ts';
import {
  baseOf,
  inContext,
  inTurn,
  missingPart,
  rootScope,
  withParams,
  type Scope,
} from './scope.ts';
import type { Block, Call, Expression, Path, Position, Print, Program, Template } from './tree.ts';
import {
  hasKey,
  isList,
  isNullish,
  isRecord,
  isTruthy,
  keysNote,
  PENDING,
  readKey,
  scalarText,
  typeName,
} from './values.ts';

/** Where values come from. */
export interface TemplateInput {
  /** The value of a dependency, or undefined when it is not there yet; then it is recorded as missing. */
  lookup(dependency: Dependency): { readonly value: unknown } | undefined;
  /** The dependency, and perhaps the key of its data, that is the root context. */
  readonly context?: Need;
  /** The root context itself, when there is no `context`. Default: an empty object. */
  readonly root?: unknown;
}

/** What came of one pass. */
export interface RenderResult {
  /** Undefined while anything is missing, and when the template printed binary data. */
  readonly text: string | undefined;
  /** The file's bytes when the template printed a binary value (`base64Decode` of what is not text). */
  readonly binary: Uint8Array | undefined;
  /** What has to be obtained before the next pass; a part of `used`. */
  readonly missing: readonly Dependency[];
  /** Everything that was asked for, each once, in the order of first use. */
  readonly used: readonly Dependency[];
}

/** Bounds of one rendering; going over one is `ERR_TEMPLATE_LIMIT`. */
export interface RenderLimits {
  readonly outputBytes: number;
  readonly dependencies: number;
  /** Nodes evaluated, and in helpers every 256 characters and 16 items. */
  readonly steps: number;
  /** Bytes of all texts and items that the helpers of one rendering make, and of its output, together. */
  readonly workBytes: number;
}

/** `workBytes` of an agent, which renders for one pod. Default of the value `agent.maxRenderBytes`. */
export const AGENT_WORK_BYTES = 32 * 1024 * 1024;
/** `workBytes` in the CSI driver, which renders for a node. Default of the value `csi.maxRenderBytes`. */
export const DRIVER_WORK_BYTES = 8 * 1024 * 1024;

/** The default bounds, those of an agent. */
export const RENDER_LIMITS: RenderLimits = {
  outputBytes: 16 * 1024 * 1024,
  dependencies: 10_000,
  steps: 5_000_000,
  workBytes: AGENT_WORK_BYTES,
};

/**
 * Renders a template once. Call it again with more values until nothing is missing.
 *
 * @throws VouchsafeError `ERR_TEMPLATE_MISSING_KEY`, `ERR_TEMPLATE_VALUE`, `ERR_TEMPLATE_LIMIT`, each with
 *   template, line and column, and never with a value.
 */
export function renderTemplate(
  template: Template,
  input: TemplateInput,
  limits: RenderLimits = RENDER_LIMITS,
): RenderResult {
  return new Rendering(template, input, limits).run();
}

/** Where faults are said to be that have no better place. */
const START: Position = { line: 1, column: 1 };

class Rendering {
  readonly #template: Template;
  readonly #input: TemplateInput;
  readonly #limits: RenderLimits;
  readonly #used = new Map<string, Dependency>();
  readonly #missing = new Map<string, Dependency>();
  /** The path that a value of Vault was read from, for errors about what is not in it. */
  readonly #origins = new Map<unknown, string>();
  readonly #output: Output;
  #steps = 0;

  constructor(template: Template, input: TemplateInput, limits: RenderLimits) {
    this.#template = template;
    this.#input = input;
    this.#limits = limits;
    this.#output = new Output(limits.outputBytes);
  }

  run(): RenderResult {
    const root = this.#located(START, 'the context', () => this.#root());
    this.#located(START, 'the output', () =>
      this.#program(this.#template.program, rootScope(root)),
    );
    const isDone = this.#missing.size === 0;
    return {
      text: isDone ? this.#output.text : undefined,
      binary: isDone ? this.#output.binary : undefined,
      missing: [...this.#missing.values()],
      used: [...this.#used.values()],
    };
  }

  #root(): unknown {
    const { context, root } = this.#input;
    return context === undefined ? (root ?? {}) : this.#need(context, false);
  }

  #program(program: Program | undefined, scope: Scope): void {
    this.#step(1);
    for (const statement of program?.statements ?? []) {
      if (statement.kind === 'text') this.#output.write(statement.text);
      else if (statement.kind === 'print') this.#print(statement, scope);
      else this.#block(statement, scope);
    }
  }

  // --- output

  #print(print: Print, scope: Scope): void {
    const value = this.#value(print.value, scope, false);
    if (value === PENDING || isNullish(value)) return;
    this.#located(print.at, describe(print.value), () => {
      if (value instanceof Uint8Array) {
        this.#output.writeBinary(value);
      } else {
        this.#output.write(scalarText(value) ?? refuseToPrint(value));
      }
    });
  }

  // --- blocks

  #block(block: Block, scope: Scope): void {
    this.#step(1);
    if (block.type === 'raw') {
      this.#program(block.body, scope);
    } else if (block.type === 'if' || block.type === 'unless') {
      this.#condition(block, scope);
    } else {
      this.#enter(block, this.#value(block.subject, scope, isLenient(block)), scope);
    }
  }

  #condition(block: Block, scope: Scope): void {
    const value = this.#value(block.subject, scope, true);
    const zero = block.includeZero && this.#value(block.includeZero, scope, true);
    if (value === PENDING || zero === PENDING) return;
    const holds = isTruthy(value) || (isZero(value) && Boolean(zero));
    this.#program(holds === (block.type === 'if') ? block.body : block.otherwise, scope);
  }

  #enter(block: Block, value: unknown, scope: Scope): void {
    if (value === PENDING) {
      this.#explore(block, scope);
    } else if (block.type === 'each') {
      this.#each(block, value, scope);
    } else if (block.type === 'with') {
      if (isTruthy(value) || isZero(value)) this.#with(block, value, scope);
      else this.#program(block.otherwise, scope);
    } else {
      this.#section(block, value, scope);
    }
  }

  /**
   * Goes on with an unknown context, so that secrets which do not depend on it are asked for in the same pass.
   * Not where there is an else branch: the body may never be wanted. What is wrong within shows later.
   */
  #explore(block: Block, scope: Scope): void {
    if (block.type !== 'with' || block.otherwise !== undefined) return;
    try {
      this.#with(block, PENDING, scope);
    } catch (error) {
      if (!hasCode(error, 'ERR_TEMPLATE_MISSING_KEY', 'ERR_TEMPLATE_VALUE')) throw error;
    }
  }

  /** `{{#x}}`: a condition for booleans, `each` for lists, `with` for the rest. */
  #section(block: Block, value: unknown, scope: Scope): void {
    if (isList(value)) this.#each(block, value, scope);
    else if (value === true) this.#program(block.body, bind(block, scope, [value]));
    else if (value === false || isNullish(value)) this.#program(block.otherwise, scope);
    else this.#with(block, value, scope);
  }

  #with(block: Block, value: unknown, scope: Scope): void {
    this.#program(block.body, bind(block, inContext(scope, value), [value]));
  }

  #each(block: Block, value: unknown, scope: Scope): void {
    const entries = this.#located(block.at, block.type, () => entriesOf(value));
    if (entries.length === 0) this.#program(block.otherwise, scope);
    for (const [index, [key, item]] of entries.entries()) {
      const last = index === entries.length - 1;
      const inner = inTurn(scope, item, { key, index, first: index === 0, last });
      this.#program(block.body, bind(block, inner, [item, key]));
    }
  }

  // --- expressions

  /** Where a missing key is no error (`lenient`), it gives undefined. */
  #value(expression: Expression, scope: Scope, lenient: boolean): unknown {
    this.#step(1);
    switch (expression.kind) {
      case 'literal':
        return expression.value;
      case 'path':
        return this.#path(expression, scope, lenient);
      case 'call':
        return this.#call(expression, scope, lenient);
    }
  }

  #path(path: Path, scope: Scope, lenient: boolean): unknown {
    let value = baseOf(path, scope);
    let origin: string | undefined;
    for (const part of path.parts) {
      if (value === PENDING) return PENDING;
      origin = this.#origins.get(value) ?? origin;
      if (!hasKey(value, part)) {
        if (lenient) return undefined;
        throw this.#at(path.at, path.text, missingPart(path, value, part, origin));
      }
      value = readKey(value, part);
    }
    return value;
  }

  #call(call: Call, scope: Scope, lenient: boolean): unknown {
    const { helper } = call;
    if (helper.kind === 'choice') return this.#choice(call, helper.stopsAt, scope, lenient);
    const isLenient = helper.lenient === true;
    const args = call.args.map((arg) => this.#value(arg, scope, isLenient));
    const hash = new Map(
      call.hash.map(([name, value]) => [name, this.#value(value, scope, isLenient)] as const),
    );
    if (args.includes(PENDING) || [...hash.values()].includes(PENDING)) return PENDING;
    this.#chargeFor([...args, ...hash.values()]);
    const evaluated = new HelperCall(args, hash, lenient);
    const result = this.#located(call.at, helper.name, () =>
      helper.kind === 'pure'
        ? helper.run(evaluated)
        : this.#need(helper.need(evaluated), evaluated.lenient),
    );
    this.#chargeFor([result]);
    return result;
  }

  /** Alternatives may be missing; the last one only where the result may be. */
  #choice(
    { args }: Call,
    stopsAt: (value: unknown) => boolean,
    scope: Scope,
    lenient: boolean,
  ): unknown {
    let value: unknown;
    for (const [index, arg] of args.entries()) {
      value = this.#value(arg, scope, lenient || index < args.length - 1);
      if (value === PENDING || stopsAt(value)) return value;
    }
    return value;
  }

  /** The value of a dependency or of a key of it; pending and recorded as missing when it is not there. */
  #need({ dependency, key }: Need, lenient: boolean): unknown {
    const id = dependencyKey(dependency);
    this.#used.set(id, dependency);
    if (this.#used.size > this.#limits.dependencies) {
      const limit = this.#limits.dependencies;
      throw new Fault('ERR_TEMPLATE_LIMIT', `more than ${limit} different secrets are asked for`);
    }
    const found = this.#input.lookup(dependency);
    if (found === undefined) {
      this.#missing.set(id, dependency);
      return PENDING;
    }
    const origin = isVaultDependency(dependency) ? dependency.path : undefined;
    if (origin !== undefined) this.#origins.set(found.value, origin);
    if (key === undefined) return found.value;
    if (hasKey(found.value, key)) return readKey(found.value, key);
    if (lenient) return undefined;
    throw missingKey(found.value, key, origin);
  }

  // --- bounds and errors

  #step(count: number): void {
    this.#steps += count;
    if (this.#steps > this.#limits.steps) {
      throw new VouchsafeError(
        'ERR_TEMPLATE_LIMIT',
        `${this.#template.name}: rendering takes more than ${this.#limits.steps} steps`,
        { details: { template: this.#template.name } },
      );
    }
  }

  /** Helpers take time by the length of what they read and write. */
  #chargeFor(values: readonly unknown[]): void {
    for (const value of values) {
      if (typeof value === 'string') this.#step(value.length >> 8);
      else if (isList(value)) this.#step(value.length >> 4);
      else if (isRecord(value)) this.#step(Object.keys(value).length >> 4);
    }
  }

  #located<T>(at: Position, subject: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#at(at, subject, error);
    }
  }

  #at(at: Position, subject: string, error: unknown): unknown {
    return locate(error, this.#template.name, at, subject);
  }
}

/** Sections, `each` and `with` may miss their subject when they say what happens then. */
function isLenient(block: Block): boolean {
  return block.otherwise !== undefined || block.body === undefined;
}

function isZero(value: unknown): boolean {
  return value === 0;
}

/** Binds block parameters where the block names any. */
function bind(block: Block, scope: Scope, values: readonly unknown[]): Scope {
  return block.body?.takesParams === true ? withParams(scope, values) : scope;
}

function entriesOf(value: unknown): readonly (readonly [key: unknown, item: unknown])[] {
  if (isList(value)) return value.map((item, index) => [index, item] as const);
  if (isRecord(value)) return Object.entries(value);
  if (value instanceof Map) return [...value].map((entry, index) => [index, entry] as const);
  if (!isTruthy(value)) return [];
  const hint = typeof value === 'string' ? '; parse it with parseJson or split first' : '';
  throw valueFault(`it goes over a list or an object, not over ${typeName(value)}${hint}`);
}

function refuseToPrint(value: unknown): never {
  const what = isRecord(value) ? `an object (${keysNote(value)})` : typeName(value);
  const how = isRecord(value)
    ? 'pick a key of it, or encode it'
    : 'pick an item of it, or encode it';
  throw valueFault(`${what} cannot be printed; ${how}, for example with json`);
}

function describe(expression: Expression): string {
  if (expression.kind === 'path') return expression.text;
  return expression.kind === 'call' ? expression.helper.name : 'the value';
}
