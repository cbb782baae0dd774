/**
 * The only file that imports the handlebars package, and only its parser: a syntax tree with whitespace control
 * applied. No code is generated.
 */
import {
  parse,
  parser,
  type RawLiteral,
  type RawProgram,
} from 'handlebars/dist/cjs/handlebars/compiler/base.js';
import type { Position } from './position.ts';

export type {
  RawBlock,
  RawExpression,
  RawHash,
  RawLiteral,
  RawLocation,
  RawMustache,
  RawPath,
  RawProgram,
  RawStatement,
  RawSubExpression,
} from 'handlebars/dist/cjs/handlebars/compiler/base.js';

/** A syntax error and its position. */
export interface SyntaxFault {
  readonly at: Position;
  readonly message: string;
}

/** Error messages for an unexpected token of the parser. */
const UNEXPECTED: Readonly<Record<string, string>> = {
  EOF: 'the template ends while a block is still open',
  INVERSE: '{{else}} is outside of a block, or appears twice in one',
  OPEN_INVERSE_CHAIN: '{{else …}} is outside of a block, or after {{else}}',
  OPEN_ENDBLOCK: 'a block is closed that was not opened',
  SEP: 'a path starts with a dot or slash; write a.b, this.a or ../a',
  INVALID: 'this character is not allowed here, or a quote or {{ is not closed',
  CLOSE: 'the tag is closed too early',
  CLOSE_UNESCAPED: '}}} closes a tag that was not opened by {{{',
  CLOSE_SEXPR: 'a closing parenthesis has no opening one, or the expression in it is empty',
  EQUALS: 'a parameter name is missing before =',
};

/** Deepest nesting of blocks, else branches and expressions. Walks of the tree recurse as deep. */
const MAX_NESTING = 200;
/** Longest template, in UTF-16 units: the limit of all annotations of a pod together. */
const MAX_SOURCE_LENGTH = 256 * 1024;
/** Limit of tokens; `{{a}}` has three. Parser and check take 10 microseconds of CPU for each. */
const MAX_TOKENS = 4_000;
/** Limit of characters that the lexer copies: the rest of the template for each `{{!-- --}}` comment. */
const MAX_COPIED = 8 * 1024 * 1024;

/** A parsed template. */
export interface ParsedTemplate {
  readonly program: RawProgram;
  /** The text of a number; in the tree there is only a JS number. */
  readonly numberText: (literal: RawLiteral) => string;
}

/** The syntax tree of a template, or its syntax error. Never throws, and takes at most a tenth of a second. */
export function parseHandlebars(source: string): ParsedTemplate | SyntaxFault {
  const tooMuch = sizeFault(source);
  if (tooMuch !== undefined) return { at: { line: 1, column: 1 }, message: tooMuch };
  const { numbers } = (budget = new ParseBudget());
  try {
    return { program: parse(source), numberText: (literal) => textOf(literal, numbers) };
  } catch (error) {
    return error instanceof BudgetExceeded ? error : toSyntaxFault(error);
  } finally {
    budget = undefined;
  }
}

/** The limit that a template exceeds, as far as it is known before parsing. */
function sizeFault(source: string): string | undefined {
  if (source.length > MAX_SOURCE_LENGTH) return `it is longer than ${MAX_SOURCE_LENGTH / 1024} KiB`;
  const comments = count(source, /\{\{~?!--/g);
  if (comments * source.length > MAX_COPIED) {
    return `it has ${comments} comments ({{!-- --}}), too many for its length; use {{! }} or remove some`;
  }
  return undefined;
}

function count(source: string, pattern: RegExp): number {
  let found = 0;
  for (const _ of source.matchAll(pattern)) found += 1;
  return found;
}

/** Thrown by {@link ParseBudget} out of the parser. */
class BudgetExceeded extends Error implements SyntaxFault {
  readonly at: Position;

  constructor(message: string) {
    super(message);
    const { first_line: line, first_column: column } = parser.lexer.yylloc;
    this.at = { line, column: column + 1 };
  }
}

/** Limits tokens and nesting while the parser runs, whose time grows with the square of the nesting. */
class ParseBudget {
  /** Position -> text of each number, by the lexer. */
  readonly numbers = new Map<string, string>();
  readonly #blocks: number[] = [];
  #tokens = 0;
  #depth = 0;

  charge(token: string): void {
    if (token !== 'EOF') this.#tokens += 1;
    if (this.#tokens > MAX_TOKENS) {
      throw new BudgetExceeded(
        `the template has more than ${MAX_TOKENS} tokens (names, texts, braces); split it into several files`,
      );
    }
    this.#depth += nestingChange(token, this.#blocks);
    if (this.#depth > MAX_NESTING)
      throw new BudgetExceeded(`this is nested deeper than ${MAX_NESTING}`);
  }
}

/** The budget of the current parse. */
let budget: ParseBudget | undefined;

/** The parser and its lexer are shared by all parses; the lexer returns one token at a time. */
const nextToken = parser.lexer.next.bind(parser.lexer);
parser.lexer.next = () => {
  const token = nextToken();
  // Skipped input, such as white space, has no token.
  if (token === undefined || budget === undefined) return token;
  const name = typeof token === 'string' ? token : nameOf(token);
  budget.charge(name);
  const { yytext, yylloc } = parser.lexer;
  if (name === 'NUMBER') budget.numbers.set(`${yylloc.first_line}:${yylloc.first_column}`, yytext);
  return token;
};

function textOf(
  { loc: { start }, value }: RawLiteral,
  numbers: ReadonlyMap<string, string>,
): string {
  return numbers.get(`${start.line}:${start.column}`) ?? String(value);
}

function nameOf(token: number): string {
  return parser.terminals_[token] ?? '';
}

/** The change of nesting by a token; `blocks` holds the levels that each open block and its `{{else if}}` branches added. */
function nestingChange(token: string, blocks: number[]): number {
  switch (token) {
    case 'OPEN_BLOCK':
    case 'OPEN_INVERSE':
    case 'OPEN_PARTIAL_BLOCK':
      blocks.push(1);
      return 1;
    case 'OPEN_INVERSE_CHAIN':
      blocks.push((blocks.pop() ?? 0) + 1);
      return 1;
    case 'OPEN_ENDBLOCK':
      return -(blocks.pop() ?? 0);
    case 'OPEN_SEXPR':
      return 1;
    case 'CLOSE_SEXPR':
      return -1;
    default:
      return 0;
  }
}

/** Handlebars' errors differ only in a column, or in a token in the message. */
function toSyntaxFault(error: unknown): SyntaxFault {
  const token = parser.lexer.yylloc;
  const at = { line: token.first_line, column: token.first_column + 1 };
  if (!(error instanceof Error)) return { at, message: 'this is not valid Handlebars' };
  if ('lineNumber' in error && 'column' in error) {
    const line = Number(error.lineNumber);
    const column = Number(error.column) + 1;
    if (line > 0) return { at: { line, column }, message: mismatch(error.message) };
  }
  if (error.message.startsWith('Lexical error')) {
    const end = { line: token.last_line, column: token.last_column + 1 };
    return { at: end, message: 'a comment or raw block is not closed, or a NUL character is here' };
  }
  const got = /, got '(\w+)'$/.exec(error.message)?.[1];
  const message = got === undefined ? undefined : UNEXPECTED[got];
  return { at, message: message ?? 'this is not allowed here' };
}

/** From Handlebars' message `if doesn't match each - 3:4`. */
function mismatch(message: string): string {
  const text = message.replace(/ - \d+:\d+$/, '');
  const names = /^(.*) doesn't match (.*)$/s.exec(text);
  return names === null ? text : `{{#${names[1] ?? ''}}} is closed by {{/${names[2] ?? ''}}}`;
}
