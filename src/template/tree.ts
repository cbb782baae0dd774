/**
 * A checked template: names resolved, helpers found, positions kept. compile.ts creates it, render.ts evaluates it.
 */
import type { Dependency, ExactNumber } from '../core/index.ts';
import type { Helper } from './helper.ts';
import type { Position } from './position.ts';

/** A template that passed every static check. Only `name` is public; the rest belongs to this folder. */
export interface Template {
  /** Identifies it in errors. */
  readonly name: string;
  readonly program: Program;
  /** Dependencies of calls with constant arguments. */
  readonly dependencies: readonly Dependency[];
}

export interface Program {
  readonly statements: readonly Statement[];
  /** True if its block has parameters: `as |x i|`. */
  readonly takesParams: boolean;
}

export type Statement = Text | Print | Block;

interface Text {
  readonly kind: 'text';
  readonly text: string;
}

export interface Print {
  readonly kind: 'print';
  readonly value: Expression;
  readonly at: Position;
}

/** `section` is `{{#x}}` without a helper; `raw` prints its body. */
export type BlockType = 'if' | 'unless' | 'each' | 'with' | 'section' | 'raw';

export interface Block {
  readonly kind: 'block';
  readonly type: BlockType;
  readonly subject: Expression;
  /** Treats 0 as true. Only for `if` and `unless`. */
  readonly includeZero: Expression | undefined;
  /** Undefined in an inverse block `{{^x}}`. */
  readonly body: Program | undefined;
  readonly otherwise: Program | undefined;
  readonly at: Position;
}

export type Expression = Literal | Path | Call;

export interface Literal {
  readonly kind: 'literal';
  readonly value: string | ExactNumber | boolean | null | undefined;
}

/** Where a path starts: a context, a data variable's frame (`@`), or a block parameter. */
export type PathBase =
  | { readonly from: 'context' | 'data'; readonly up: number }
  | { readonly from: 'param'; readonly up: number; readonly index: number };

export interface Path {
  readonly kind: 'path';
  readonly base: PathBase;
  readonly parts: readonly string[];
  /** As written. */
  readonly text: string;
  readonly at: Position;
}

export interface Call {
  readonly kind: 'call';
  readonly helper: Helper;
  readonly args: readonly Expression[];
  readonly hash: readonly (readonly [name: string, value: Expression])[];
  readonly at: Position;
}
