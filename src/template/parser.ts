/**
 * The one place that touches the handlebars package. Its parser alone is used: it gives the syntax tree with
 * whitespace control done. Nothing is compiled to code here. Ring: template.
 */
import { parse, parser, type RawProgram } from 'handlebars/dist/cjs/handlebars/compiler/base.js';
import type { Position } from './tree.ts';

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
/** Most `{{!-- --}}` comments: for each one the lexer copies the rest of the template. */
const MAX_LONG_COMMENTS = 1000;

/** The syntax tree of a template, or why there is none. Never throws, and takes a second at most. */
export function parseHandlebars(source: string): RawProgram | SyntaxFault {
  const start = { line: 1, column: 1 };
  if (source.length > MAX_SOURCE_LENGTH) {
    return { at: start, message: `it is longer than ${MAX_SOURCE_LENGTH / 1024} KiB` };
  }
  const comments = source.match(/\{\{~?!--/g) ?? [];
  if (comments.length > MAX_LONG_COMMENTS) {
    return { at: start, message: `it has more than ${MAX_LONG_COMMENTS} comments ({{!-- --}})` };
  }
  try {
    return nestingFault(source) ?? parse(source);
  } catch (error) {
    return toSyntaxFault(error);
  }
}

/**
 * Looks at the tokens alone before they are parsed: the parser takes time by the square of the nesting, minutes
 * for what fits into an annotation.
 */
function nestingFault(source: string): SyntaxFault | undefined {
  // Each token that deepens has one of these in it: most templates have too few to look any further.
  const openings = source.match(/\{\{|\(/g) ?? [];
  if (openings.length <= MAX_NESTING) return undefined;
  const { lexer, terminals_: names } = parser;
  lexer.yy = {};
  lexer.setInput(source);
  const blocks: number[] = [];
  let depth = 0;
  // After a character that is no token the parser stops, so there is no need to go on.
  for (let token = ''; token !== 'EOF' && token !== 'INVALID';) {
    const next = lexer.lex();
    token = typeof next === 'string' ? next : (names[next] ?? 'EOF');
    depth += deepening(token, blocks);
    if (depth > MAX_NESTING) {
      const at = { line: lexer.yylloc.first_line, column: lexer.yylloc.first_column + 1 };
      return { at, message: `this is nested deeper than ${MAX_NESTING}` };
    }
  }
  return undefined;
}

/** By how much a token deepens; `blocks` holds what each open block has added with its `{{else if}}` branches. */
function deepening(token: string, blocks: number[]): number {
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
