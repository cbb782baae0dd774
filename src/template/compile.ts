/**
 * Compiles Handlebars' syntax tree to a checked template: resolves every name and finds every problem that does
 * not depend on data.
 */
import { dependencyKey, exactNumber, type Dependency, type Problem } from '../core/index.ts';
import { argumentProblems, thisHint } from './check-arguments.ts';
import { Fault } from './fault.ts';
import { HelperCall, type Helper, type Signature } from './helper.ts';
import { BLOCKS, HELPERS } from './helpers/table.ts';
import {
  parseHandlebars,
  type ParsedTemplate,
  type RawBlock,
  type RawExpression,
  type RawHash,
  type RawLiteral,
  type RawLocation,
  type RawMustache,
  type RawPath,
  type RawProgram,
  type RawStatement,
  type RawSubExpression,
} from './parser.ts';
import { suggest } from './suggest.ts';
import type { Position } from './position.ts';
import type {
  Block,
  BlockType,
  Call,
  Expression,
  Literal,
  Path,
  PathBase,
  Program,
  Statement,
  Template,
} from './tree.ts';
import { quoteName } from './values.ts';
import { constantOf, FOLDING_LIMITS, UNKNOWN } from './fold.ts';
import { WorkBudget } from './work.ts';

/** Further problems are not reported. */
const MAX_PROBLEMS = 50;

const MOST_PARAMS: Readonly<Partial<Record<BlockType, number>>> = { each: 2, section: 2, with: 1 };

const NOTHING: Literal = { kind: 'literal', value: undefined };

/** The result for one source. The template is usable only if there are no problems. */
export interface Compiled {
  readonly template: Template;
  readonly problems: readonly Problem[];
  /** True for problems of syntax, false for problems with helpers. */
  readonly isSyntax: boolean;
}

/** Parses and checks a template. Never throws. */
export function compile(source: string, name: string): Compiled {
  return new Compiler(name).run(source);
}

class Compiler {
  readonly #name: string;
  #numberText: ParsedTemplate['numberText'] = ({ value }) => String(value);
  readonly #problems: Problem[] = [];
  readonly #dependencies = new Map<string, Dependency>();
  readonly #foldingBudget = new WorkBudget(FOLDING_LIMITS);
  /** Names of block parameters in scope, innermost first. */
  #params: readonly (readonly string[])[] = [];
  #isSyntax = false;

  constructor(name: string) {
    this.#name = name;
  }

  run(source: string): Compiled {
    const program = this.#parse(source);
    const template = { name: this.#name, program, dependencies: [...this.#dependencies.values()] };
    return { template, problems: this.#problems, isSyntax: this.#isSyntax };
  }

  #parse(source: string): Program {
    const raw = parseHandlebars(source);
    if ('program' in raw) {
      this.#numberText = raw.numberText;
      return this.#program(raw.program);
    }
    this.#reportSyntax(raw.at, raw.message);
    return { statements: [], takesParams: false };
  }

  #program(raw: RawProgram): Program {
    const names = raw.blockParams?.slice(0, 2);
    const outer = this.#params;
    if (names !== undefined) this.#params = [names, ...outer];
    const statements = raw.body.flatMap((statement) => this.#statement(statement) ?? []);
    this.#params = outer;
    return { statements, takesParams: names !== undefined };
  }

  #statement(raw: RawStatement): Statement | undefined {
    switch (raw.type) {
      case 'ContentStatement':
        return raw.value === '' ? undefined : { kind: 'text', text: raw.value };
      case 'CommentStatement':
        return undefined;
      case 'MustacheStatement':
        return { kind: 'print', value: this.#mustache(raw), at: position(raw.path.loc) };
      case 'BlockStatement':
        return this.#block(raw);
      case 'PartialStatement':
      case 'PartialBlockStatement':
        this.#reportSyntax(position(raw.loc), 'partials ({{> name}}) are not supported');
        return undefined;
      case 'Decorator':
      case 'DecoratorBlock':
        this.#reportSyntax(position(raw.loc), 'decorators ({{* name}}) are not supported');
        return undefined;
    }
  }

  // --- expressions

  #mustache(raw: RawMustache | RawSubExpression): Expression {
    const path = this.#toPath(raw.path);
    const name = this.#helperName(path);
    const hasArgs = hasArguments(raw);
    const isCall = hasArgs || raw.type === 'SubExpression';
    const helper = name === undefined ? undefined : HELPERS.get(name);
    if (helper !== undefined) return this.#call(helper, raw);
    if (name !== undefined && (isCall || BLOCKS.has(name))) return this.#unknown(name, path);
    const isUncallable = hasArgs || (isCall && this.#param(path) === undefined);
    return isUncallable ? this.#uncallable(path) : this.#path(path);
  }

  #uncallable(path: RawPath): Expression {
    return this.#report(
      position(path.loc),
      `${quoteName(path.original)} is not a helper; it cannot take arguments`,
    );
  }

  #call(helper: Helper, raw: RawMustache | RawSubExpression): Expression {
    const at = position(raw.path.loc);
    const args = raw.params.map((param) => this.#expression(param));
    const hash = this.#hash(raw.hash);
    if (!this.#checkArguments(helper, raw, at)) return NOTHING;
    const call: Call = { kind: 'call', helper, args, hash, at };
    this.#recordDependency(call);
    return call;
  }

  #expression(raw: RawExpression): Expression {
    switch (raw.type) {
      case 'PathExpression':
        return this.#path(raw);
      case 'SubExpression':
        return this.#mustache(raw);
      default:
        return this.#literal(raw);
    }
  }

  #literal(raw: RawLiteral): Literal {
    if (raw.type === 'NullLiteral') return { kind: 'literal', value: null };
    if (raw.type !== 'NumberLiteral') return { kind: 'literal', value: raw.value };
    const text = this.#numberText(raw);
    if (!/^-?0\d/.test(text)) return { kind: 'literal', value: exactNumber(text) };
    return this.#report(position(raw.loc), `a number does not start with 0; quote it: "${text}"`);
  }

  /** Handlebars reads `{{"a b"}}` and `{{12}}` as paths of one key. */
  #toPath(raw: RawPath | RawLiteral): RawPath {
    if (raw.type === 'PathExpression') return raw;
    const key = raw.type === 'NumberLiteral' ? this.#numberText(raw) : keyOf(raw);
    return {
      type: 'PathExpression',
      data: false,
      depth: 0,
      parts: [key],
      original: key,
      loc: raw.loc,
    };
  }

  #hash(raw: RawHash | undefined): Call['hash'] {
    return (raw?.pairs ?? []).map((pair) => [pair.key, this.#expression(pair.value)] as const);
  }

  #path(raw: RawPath): Path {
    const param = this.#param(raw);
    const from = raw.data ? 'data' : 'context';
    const base = param ?? ({ from, up: raw.depth } as const);
    const parts = param === undefined ? raw.parts : raw.parts.slice(1);
    return { kind: 'path', base, parts, text: raw.original, at: position(raw.loc) };
  }

  /** The block parameter that a path starts with. `this.x`, `../x` and `@x` never do. */
  #param(path: RawPath): PathBase | undefined {
    const [name] = path.parts;
    if (name === undefined || path.data || path.depth > 0 || isScoped(path)) return undefined;
    for (const [up, names] of this.#params.entries()) {
      const index = names.indexOf(name);
      if (index >= 0) return { from: 'param', up, index };
    }
    return undefined;
  }

  /** A possible helper name: a single word that is not `@data`, `this.x`, `../x` or a block parameter. */
  #helperName(path: RawPath): string | undefined {
    if (path.parts.length !== 1 || path.data || path.depth > 0 || isScoped(path)) return undefined;
    return this.#param(path) === undefined ? path.parts[0] : undefined;
  }

  // --- blocks

  #block(raw: RawBlock): Block {
    const path = this.#toPath(raw.path);
    const name = this.#helperName(path);
    const known = name === undefined ? undefined : BLOCKS.get(name);
    const at = position(raw.path.loc);
    const type = known?.name ?? 'section';
    const subject = known === undefined ? this.#section(raw, path, name) : this.#subject(raw);
    const includeZero = this.#hash(raw.hash).find(([key]) => key === 'includeZero')?.[1];
    if (known !== undefined) this.#checkArguments(known, raw, at);
    this.#checkParams(raw, type, at);
    const body = raw.program && this.#program(raw.program);
    const otherwise = raw.inverse && this.#program(raw.inverse);
    return { kind: 'block', type, subject, includeZero, body, otherwise, at };
  }

  #subject(raw: RawBlock): Expression {
    return raw.params.map((param) => this.#expression(param))[0] ?? NOTHING;
  }

  #section(raw: RawBlock, path: RawPath, name: string | undefined): Expression {
    const at = position(path.loc);
    if (name !== undefined && HELPERS.has(name)) {
      return this.#report(at, `${name} is not a block; write {{${name} …}}${thisHint(name)}`);
    }
    if (raw.params.length === 0 && raw.hash === undefined) return this.#path(path);
    if (name !== undefined) return this.#unknown(name, path);
    return this.#report(
      at,
      `${quoteName(path.original)} is not a helper; it cannot take arguments`,
    );
  }

  /** `each` has two block parameters, value and key; `with` and sections have one, the value. */
  #checkParams(raw: RawBlock, type: BlockType, at: Position): void {
    const count = raw.program?.blockParams?.length ?? 0;
    const most = MOST_PARAMS[type] ?? 0;
    if (count > most) {
      const allowed = most === 0 ? 'no block parameters' : `at most ${most} block parameters`;
      this.#report(at, `${type} has ${allowed} (as |name|)`);
    }
    if (raw.inverse?.blockParams !== undefined) {
      this.#report(at, 'an inverse block has no block parameters (as |name|)');
    }
  }

  // --- checks

  #checkArguments(
    signature: Signature,
    raw: RawMustache | RawSubExpression | RawBlock,
    at: Position,
  ): boolean {
    const problems = argumentProblems(signature, raw);
    for (const problem of problems) this.#report(at, problem);
    return problems.length === 0;
  }

  /**
   * Records the dependency of a call with constant arguments, or its problem. Parameters that are not constant are left
   * out: the path alone identifies what is requested.
   */
  #recordDependency(call: Call): void {
    const { helper } = call;
    if (helper.kind !== 'source') return;
    const args = call.args.map((arg) => constantOf(arg, this.#foldingBudget));
    if (args.includes(UNKNOWN)) return;
    const hash = new Map(
      call.hash.map(([name, value]) => {
        const known = constantOf(value, this.#foldingBudget);
        return [name, known === UNKNOWN ? '' : known] as const;
      }),
    );
    try {
      const { dependency } = helper.request(new HelperCall(args, hash, false, new WorkBudget()));
      this.#dependencies.set(dependencyKey(dependency), dependency);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#report(call.at, `${helper.name}: ${error.describe()}`);
    }
  }

  #unknown(name: string, path: RawPath): Literal {
    const at = position(path.loc);
    if (BLOCKS.has(name)) {
      return this.#report(at, `${name} is a block: {{#${name} …}}…{{/${name}}}${thisHint(name)}`);
    }
    if (name === 'log') return this.#report(at, 'the helper log is not supported');
    if (this.#problems.length >= MAX_PROBLEMS) return NOTHING;
    const near = suggest(name, [...HELPERS.keys(), ...BLOCKS.keys()]);
    const hint = near === undefined ? '' : `; did you mean ${near}?`;
    return this.#report(at, `unknown helper ${quoteName(name)}${hint}`);
  }

  #report(at: Position, message: string): Literal {
    if (this.#problems.length < MAX_PROBLEMS) {
      this.#problems.push({ path: `${this.#name}:${at.line}:${at.column}`, message });
    }
    return NOTHING;
  }

  #reportSyntax(at: Position, message: string): void {
    this.#isSyntax = true;
    this.#report(at, message);
  }
}

function keyOf(raw: RawLiteral): string {
  return String(raw.type === 'NullLiteral' ? null : raw.original);
}

/** True for `this.x`, `./x`, `../x`: always data, never a helper. */
function isScoped(path: RawPath): boolean {
  return /^(?:\.|this\b)/.test(path.original);
}

function hasArguments({ params, hash }: RawMustache | RawSubExpression): boolean {
  return params.length > 0 || hash !== undefined;
}

function position(loc: RawLocation): Position {
  return { line: loc.start.line, column: loc.start.column + 1 };
}
