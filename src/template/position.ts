/**
 * Where something stands in the text of a template.
 */

/** A place in a template; line and column start at 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}
