/**
 * The text of a literal: the parser itself keeps only a JS number.
 */
import type { RawLiteral } from './parser.ts';

/** Finds literals in the text of a template. */
export class SourceLines {
  readonly #lines: readonly string[];

  constructor(source: string) {
    // As the lexer counts lines.
    this.#lines = source.split(/\r\n?|\n/);
  }

  /** A number as it is written. */
  numberText({ loc, value }: RawLiteral): string {
    const line = this.#lines[loc.start.line - 1] ?? '';
    const [text] = /^-?\d+(?:\.\d+)?/.exec(line.slice(loc.start.column)) ?? [];
    return text !== undefined && Number(text) === value ? text : String(value);
  }
}
