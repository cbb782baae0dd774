/**
 * Evaluates a template. Same as Handlebars, with these differences: no prototypes, no HTML escaping, missing keys
 * are errors, objects cannot be printed, and values that are not available yet are collected instead of awaited.
 */
import {
  dependencyKey,
  isOptional,
  isVaultDependency,
  isZero,
  NumberText,
  type Dependency,
} from '../core/index.ts';
import { quotedBytes } from './encode.ts';
import { entriesOf } from './entries.ts';
import { isLenient, mayBeAbsent } from './expressions.ts';
import { Fault, locate, missingKey, valueFault } from './fault.ts';
import { HelperCall, type DataRequest } from './helper.ts';
import { Output } from './output.ts';
import {
  baseOf,
  inContext,
  inIteration,
  missingPart,
  rootScope,
  withParams,
  type Scope,
} from './scope.ts';
import type { Position } from './position.ts';
import type { Block, Call, Expression, Path, Print, Program, Template } from './tree.ts';
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
import { RENDER_LIMITS, textBytes, WorkBudget, type RenderLimits } from './work.ts';

/** The source of values. */
export interface TemplateInput {
  /**
   * The value of a dependency; undefined if it is not available yet, which records it as missing. Null for a secret
   * that is absent: an optional read evaluates to it, and for a required one it is missing.
   */
  lookup(dependency: Dependency): { readonly value: unknown } | undefined;
  /** The dependency, and optionally the key of its data, for the root context. */
  readonly context?: DataRequest;
  /** The root context if `context` is not set. Default: an empty object. */
  readonly root?: unknown;
}

/** The result of one pass. */
export interface RenderResult {
  /** Undefined while anything is missing, and if the template printed binary data. */
  readonly text: string | undefined;
  /** The output if the template printed a binary value (`base64Decode` of data that is not text). */
  readonly binary: Uint8Array | undefined;
  /** True if there is no output at all, because the context is optional and absent. */
  readonly isAbsent: boolean;
  /** Obtain these before the next pass; a subset of `used`. Optional if no use requires a value. */
  readonly missing: readonly Dependency[];
  /** All requested dependencies, each once, in the order of first use. Optional if one use allows that it is absent. */
  readonly used: readonly Dependency[];
}

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

const LIMIT = 'ERR_TEMPLATE_LIMIT';

/**
 * Steps for a loop iteration, a call, a dependency and a suppressed fault, in addition to those of their parts.
 * A step takes about 50 ns.
 */
const ITERATION_STEPS = 4;
const CALL_STEPS = 16;
const REQUEST_STEPS = 32;
const FAULT_STEPS = 400;

/** For calls without parameters, which are most. */
const NO_HASH: ReadonlyMap<string, unknown> = new Map();

/** The position of faults that belong to the whole template. */
const START: Position = { line: 1, column: 1 };

class Rendering {
  readonly #template: Template;
  readonly #input: TemplateInput;
  readonly #work: WorkBudget;
  readonly #used = new Map<string, Dependency>();
  readonly #missing = new Map<string, Dependency>();
  /** Value -> the Vault path that it was read from, for errors about missing keys. */
  readonly #origins = new Map<unknown, string>();
  readonly #output: Output;
  /** Above 0 within a block whose context is pending. */
  #exploring = 0;

  constructor(template: Template, input: TemplateInput, limits: RenderLimits) {
    this.#template = template;
    this.#input = input;
    this.#work = new WorkBudget(limits);
    this.#output = new Output(this.#work);
  }

  run(): RenderResult {
    const root = this.#located(START, 'the context', () => this.#root());
    const { context } = this.#input;
    const mayBeAbsent = context !== undefined && isOptional(context.dependency);
    const isAbsent = mayBeAbsent && isNullish(root);
    // Where the context may be absent, nothing else is requested before it is known.
    if (!isAbsent && !(mayBeAbsent && root === PENDING)) {
      this.#located(START, 'the output', () =>
        this.#program(this.#template.program, rootScope(root)),
      );
    }
    const hasOutput = this.#missing.size === 0 && !isAbsent;
    return {
      text: hasOutput ? this.#output.text : undefined,
      binary: hasOutput ? this.#output.binary : undefined,
      isAbsent,
      missing: [...this.#missing.values()],
      used: [...this.#used.values()],
    };
  }

  #root(): unknown {
    const { context, root } = this.#input;
    return context === undefined ? (root ?? {}) : this.#obtain(context, false);
  }

  #program(program: Program | undefined, scope: Scope): void {
    this.#work.step(1);
    for (const statement of program?.statements ?? []) {
      if (statement.kind === 'text') this.#output.write(statement.text);
      else if (statement.kind === 'print') this.#print(statement, scope);
      else this.#block(statement, scope);
    }
  }

  // --- output

  #print(print: Print, scope: Scope): void {
    this.#located(print.at, describe(print.value), () => {
      const value = this.#value(print.value, scope, false);
      if (value === PENDING || isNullish(value)) return;
      if (value instanceof Uint8Array) {
        this.#output.writeBinary(value);
      } else {
        this.#output.write(scalarText(value) ?? rejectUnprintable(value));
      }
    });
  }

  // --- blocks

  #block(block: Block, scope: Scope): void {
    this.#located(block.at, block.type, () => this.#enterBlock(block, scope));
  }

  #enterBlock(block: Block, scope: Scope): void {
    this.#work.step(1);
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
   * Evaluates a body with an unknown context, so that secrets that do not depend on it are requested in the same pass.
   * Not if there is an else branch or the context may be absent: the body may not be needed. Faults in the body are
   * reported in a later pass.
   */
  #explore(block: Block, scope: Scope): void {
    if (block.type !== 'with' || block.otherwise !== undefined) return;
    if (mayBeAbsent(block.subject)) return;
    this.#exploring += 1;
    try {
      this.#with(block, PENDING, scope);
    } catch (error) {
      if (!(error instanceof Fault) || error.code === LIMIT) throw error;
      this.#work.step(FAULT_STEPS);
    } finally {
      this.#exploring -= 1;
    }
  }

  /** `{{#x}}`: a condition for booleans, `each` for lists, `with` for the rest. */
  #section(block: Block, value: unknown, scope: Scope): void {
    if (isList(value)) this.#each(block, value, scope);
    else if (value === true) this.#program(block.body, bindParams(block, scope, [value]));
    else if (value === false || isNullish(value)) this.#program(block.otherwise, scope);
    else this.#with(block, value, scope);
  }

  #with(block: Block, value: unknown, scope: Scope): void {
    this.#program(block.body, bindParams(block, inContext(scope, value), [value]));
  }

  #each(block: Block, value: unknown, scope: Scope): void {
    const { count, entries } = entriesOf(value, this.#work);
    if (count === 0) this.#program(block.otherwise, scope);
    let index = 0;
    for (const [key, item] of entries) {
      this.#work.step(ITERATION_STEPS);
      const last = index === count - 1;
      const inner = inIteration(scope, item, { key, index, first: index === 0, last });
      this.#program(block.body, bindParams(block, inner, [item, key]));
      index += 1;
    }
  }

  // --- expressions

  /** If `lenient`, a missing key evaluates to undefined instead of a fault. */
  #value(expression: Expression, scope: Scope, lenient: boolean): unknown {
    this.#work.step(1);
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
    // A path of one part, which is the common case, costs only its node.
    this.#work.step((path.base.up + path.parts.length) >> 1);
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
    const hash = call.hash.length === 0 ? NO_HASH : this.#hash(call, scope, isLenient);
    if (args.includes(PENDING) || (hash.size > 0 && [...hash.values()].includes(PENDING))) {
      return PENDING;
    }
    this.#chargeFor(args);
    if (hash.size > 0) this.#chargeFor([...hash.values()]);
    const evaluated = new HelperCall(args, hash, lenient, this.#work);
    return this.#located(call.at, helper.name, () => {
      if (helper.kind === 'pure') return helper.run(evaluated);
      this.#chargeForKey([...args, ...hash.values()]);
      return this.#obtain(helper.request(evaluated), evaluated.lenient);
    });
  }

  #hash({ hash }: Call, scope: Scope, lenient: boolean): ReadonlyMap<string, unknown> {
    return new Map(
      hash.map(([name, value]) => [name, this.#value(value, scope, lenient)] as const),
    );
  }

  /** All alternatives may be missing, but the last only if the result may be missing. */
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

  /** The value of a dependency or of one of its keys; pending, and recorded as missing, if it is not available. */
  #obtain(request: DataRequest, lenient: boolean): unknown {
    this.#work.step(REQUEST_STEPS);
    const { dependency } = request;
    const id = dependencyKey(dependency);
    const mayBeNull = isOptional(dependency);
    this.#use(id, dependency);
    const found = this.#input.lookup(dependency);
    if (found !== undefined && (found.value !== null || mayBeNull)) {
      return this.#select(found.value, request, lenient);
    }
    // Required, if another use is.
    this.#missing.set(id, mayBeNull ? (this.#missing.get(id) ?? dependency) : dependency);
    return PENDING;
  }

  /** The value, or the one of its keys that is requested; null for an absent secret, and for an absent key of an optional one. */
  #select(value: unknown, { dependency, key }: DataRequest, lenient: boolean): unknown {
    if (value === null) return null;
    const origin = isVaultDependency(dependency) ? dependency.path : undefined;
    if (origin !== undefined) this.#origins.set(value, origin);
    if (key === undefined) return value;
    if (hasKey(value, key)) return readKey(value, key);
    if (isOptional(dependency)) return null;
    if (lenient) return undefined;
    throw missingKey(value, key, origin);
  }

  #use(id: string, dependency: Dependency): void {
    const known = this.#used.get(id);
    if (known !== undefined) {
      if (isOptional(dependency)) this.#used.set(id, dependency);
      return;
    }
    const limit = this.#work.limits.dependencies;
    if (this.#used.size >= limit) {
      throw new Fault(
        LIMIT,
        `the template requests more than ${limit} different secrets; split it into several files`,
      );
    }
    this.#work.make(2 * textBytes(id));
    this.#used.set(id, dependency);
  }

  // --- bounds and errors

  /** Helpers may read every argument completely: strings always, lists sometimes. */
  #chargeFor(values: readonly unknown[]): void {
    this.#work.step(CALL_STEPS);
    for (const value of values) {
      if (typeof value === 'string') this.#work.read(value.length);
      else if (value instanceof NumberText) this.#work.read(value.text.length);
      else if (isList(value)) this.#work.step(value.length >> 4);
    }
  }

  /** The key of a dependency, created for each call: its strings as JSON, concatenated. */
  #chargeForKey(values: readonly unknown[]): void {
    for (const value of values) {
      if (typeof value === 'string') this.#work.make(2 * quotedBytes(value, this.#work));
    }
  }

  #located<T>(at: Position, subject: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#at(at, subject, error);
    }
  }

  /** Suppressed faults stay as they are: building their message may scan a whole secret. */
  #at(at: Position, subject: string, error: unknown): unknown {
    const isUnseen = this.#exploring > 0 && error instanceof Fault && error.code !== LIMIT;
    if (isUnseen) return error;
    return locate(error, this.#template.name, at, subject);
  }
}

/** Binds block parameters if the block has any. */
function bindParams(block: Block, scope: Scope, values: readonly unknown[]): Scope {
  return block.body?.takesParams === true ? withParams(scope, values) : scope;
}

function rejectUnprintable(value: unknown): never {
  throw valueFault(() => {
    const what = isRecord(value) ? `an object (${keysNote(value)})` : typeName(value);
    const how = isRecord(value) ? 'pick a key of it' : 'pick an item of it';
    return `${what} cannot be printed; ${how}, or encode it, for example with json`;
  });
}

function describe(expression: Expression): string {
  if (expression.kind === 'path') return expression.text;
  return expression.kind === 'call' ? expression.helper.name : 'the value';
}
