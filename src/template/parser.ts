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

/** The syntax tree of a template, or why there is none. Never throws. */
export function parseHandlebars(source: string): RawProgram | SyntaxFault {
  try {
    return parse(source);
  } catch (error) {
    return toSyntaxFault(error);
  }
}

/** Foreign errors are told apart by the little that they carry: a column, or a token in the message. */
function toSyntaxFault(error: unknown): SyntaxFault {
  const token = parser.lexer.yylloc;
  const at = { line: token.first_line, column: token.first_column + 1 };
  if (error instanceof RangeError) return { at, message: 'blocks are nested too deeply' };
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
