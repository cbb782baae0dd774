/**
 * The one place that touches the handlebars package. Its parser alone is used: it gives the syntax tree with
 * whitespace control done. Nothing is compiled to code here.
 */
import { parse, parser, type RawProgram } from 'handlebars/dist/cjs/handlebars/compiler/base.js';
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

/** Why a text is no template, and where. */
export interface SyntaxFault {
  readonly at: Position;
  readonly message: string;
}

/** What the parser's tokens are called in an error. */
const UNEXPECTED: Readonly<Record<string, string>> = {
  EOF: 'the template ends while a block is still open',
  INVERSE: '{{else}} stands outside of a block, or twice in one',
  OPEN_INVERSE_CHAIN: '{{else …}} stands outside of a block, or after {{else}}',
  OPEN_ENDBLOCK: 'a block is closed that was not opened',
  SEP: 'a path starts with a dot or slash; write a.b, this.a or ../a',
  INVALID: 'this character cannot stand here, or a quote or {{ is not closed',
  CLOSE: 'the tag is closed too early',
  CLOSE_UNESCAPED: '}}} closes a tag that was not opened by {{{',
  CLOSE_SEXPR: 'a closing parenthesis has no opening one, or the expression in it is empty',
  EQUALS: 'a parameter name is missing before =',
};

/** Deepest nesting of blocks, else branches and expressions. Whatever walks the tree recurses as deep. */
const MAX_NESTING = 200;
/** Longest template, in UTF-16 units: all annotations of a pod together hold no more. */
const MAX_SOURCE_LENGTH = 256 * 1024;
/** Most tokens, of which a tag like `{{a}}` has three: parser and check take 10 microseconds of CPU for each. */
const MAX_TOKENS = 4_000;
/** Most characters that the lexer copies: for each `{{!-- --}}` comment it copies the rest of the template. */
const MAX_COPIED = 8 * 1024 * 1024;

/** The syntax tree of a template, or why there is none. Never throws, and takes a tenth of a second at most. */
export function parseHandlebars(source: string): RawProgram | SyntaxFault {
  const tooMuch = sizeFault(source);
  if (tooMuch !== undefined) return { at: { line: 1, column: 1 }, message: tooMuch };
  budget = new ParseBudget();
  try {
    return parse(source);
  } catch (error) {
    return error instanceof BudgetExceeded ? error : toSyntaxFault(error);
  } finally {
    budget = undefined;
  }
}

/** What is too much in a template, as far as that shows before anything is parsed. */
function sizeFault(source: string): string | undefined {
  if (source.length > MAX_SOURCE_LENGTH) return `it is longer than ${MAX_SOURCE_LENGTH / 1024} KiB`;
  const comments = count(source, /\{\{~?!--/g);
  if (comments * source.length > MAX_COPIED) {
    return `it has ${comments} comments ({{!-- --}}), too many for its length; write {{! }} or take some out`;
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

/** Counts tokens and nesting as the parser takes the tokens: it takes time by the square of the nesting. */
class ParseBudget {
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

/** Of the parse that is going on. */
let budget: ParseBudget | undefined;

/** The parser asks its lexer, which all parsing shares, for one token at a time. */
const nextToken = parser.lexer.next.bind(parser.lexer);
parser.lexer.next = () => {
  const token = nextToken();
  // What is skipped, as white space is, gives no token.
  if (token !== undefined) budget?.charge(typeof token === 'string' ? token : nameOf(token));
  return token;
};

function nameOf(token: number): string {
  return parser.terminals_[token] ?? '';
}

/** By how much a token deepens; `blocks` holds what each open block has added with its `{{else if}}` branches. */
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

/** Foreign errors are told apart by the little that they carry: a column, or a token in the message. */
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
  return { at, message: message ?? 'this cannot stand here' };
}

/** Handlebars says `if doesn't match each - 3:4`. */
function mismatch(message: string): string {
  const text = message.replace(/ - \d+:\d+$/, '');
  const names = /^(.*) doesn't match (.*)$/s.exec(text);
  return names === null ? text : `{{#${names[1] ?? ''}}} is closed by {{/${names[2] ?? ''}}}`;
}
