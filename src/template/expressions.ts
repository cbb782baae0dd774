/**
 * What is known of expressions and blocks before their values are.
 */
import type { Block, Expression } from './tree.ts';

/** Sections, `each` and `with` may miss their subject if they have an else branch. */
export function isLenient(block: Block): boolean {
  return block.otherwise !== undefined || block.body === undefined;
}

/** True for an expression that may be null because a secret is absent. */
export function mayBeAbsent(expression: Expression): boolean {
  if (expression.kind !== 'call') return false;
  const { helper, args, hash } = expression;
  if (helper.kind === 'source' && helper.mayBeAbsent === true) return true;
  return args.some(mayBeAbsent) || hash.some(([, value]) => mayBeAbsent(value));
}
