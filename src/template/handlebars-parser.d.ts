/**
 * Types of the Handlebars parser alone: what `parse` really gives, more exact than the package's own types.
 * Only parser.ts uses them.
 *
 * @see https://github.com/handlebars-lang/handlebars.js/blob/4.x/docs/compiler-api.md
 */
declare module 'handlebars/dist/cjs/handlebars/compiler/base.js' {
  export interface RawLocation {
    /** `line` counts from 1, `column` from 0. */
    readonly start: { readonly line: number; readonly column: number };
  }

  export interface RawProgram {
    readonly type: 'Program';
    readonly body: readonly RawStatement[];
    readonly blockParams?: readonly string[];
  }

  export interface RawContent {
    readonly type: 'ContentStatement';
    readonly value: string;
  }

  export interface RawComment {
    readonly type: 'CommentStatement';
  }

  export interface RawMustache {
    readonly type: 'MustacheStatement';
    readonly path: RawPath | RawLiteral;
    readonly params: readonly RawExpression[];
    readonly hash?: RawHash;
    readonly loc: RawLocation;
  }

  export interface RawBlock {
    readonly type: 'BlockStatement';
    readonly path: RawPath | RawLiteral;
    readonly params: readonly RawExpression[];
    readonly hash?: RawHash;
    /** Undefined in `{{^x}}…{{/x}}`. */
    readonly program?: RawProgram;
    readonly inverse?: RawProgram;
    readonly loc: RawLocation;
  }

  export interface RawRefused {
    readonly type: 'PartialStatement' | 'PartialBlockStatement' | 'Decorator' | 'DecoratorBlock';
    readonly loc: RawLocation;
  }

  export type RawStatement = RawContent | RawComment | RawMustache | RawBlock | RawRefused;

  export interface RawPath {
    readonly type: 'PathExpression';
    /** True for `@name`. */
    readonly data: boolean;
    /** How many `../` it starts with. */
    readonly depth: number;
    readonly parts: readonly string[];
    readonly original: string;
    readonly loc: RawLocation;
  }

  export interface RawLiteral {
    readonly type:
      'StringLiteral' | 'NumberLiteral' | 'BooleanLiteral' | 'UndefinedLiteral' | 'NullLiteral';
    /** Absent for `undefined` and `null`. */
    readonly value?: string | number | boolean;
    readonly original?: string | number | boolean | null;
    readonly loc: RawLocation;
  }

  export interface RawSubExpression {
    readonly type: 'SubExpression';
    readonly path: RawPath | RawLiteral;
    readonly params: readonly RawExpression[];
    readonly hash?: RawHash;
    readonly loc: RawLocation;
  }

  export type RawExpression = RawPath | RawLiteral | RawSubExpression;

  export interface RawHash {
    readonly pairs: readonly {
      readonly key: string;
      readonly value: RawExpression;
      readonly loc: RawLocation;
    }[];
  }

  /** The parser proper. After a failure its lexer still stands at the token that did not fit. */
  export const parser: {
    readonly lexer: {
      yy: object;
      setInput(source: string): void;
      /** The next token, by number or by name. Throws where no token can be made. */
      lex(): number | string;
      /** One step of `lex`; undefined where it skips something. */
      next: () => number | string | undefined;
      /** The text of the last token. */
      readonly yytext: string;
      readonly yylloc: {
        readonly first_line: number;
        readonly first_column: number;
        readonly last_line: number;
        readonly last_column: number;
      };
    };
    /** Names of the tokens that have a number. */
    readonly terminals_: Readonly<Record<number, string>>;
  };

  /** Parses a template and applies whitespace control. Throws on a syntax error. */
  export function parse(source: string): RawProgram;
}
