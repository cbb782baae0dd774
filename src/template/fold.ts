/**
 * Constant folding: literals, and pure helpers with constant arguments.
 */
import { Fault } from './fault.ts';
import { HelperCall } from './helper.ts';
import type { Call, Expression } from './tree.ts';
import { RENDER_LIMITS, type RenderLimits, type WorkBudget } from './work.ts';

/** Stands for a value that depends on data. */
export const UNKNOWN: unique symbol = Symbol('unknown');

/** Limits for all constants of one template. Paths are short; longer values are computed when it renders. */
export const FOLDING_LIMITS: RenderLimits = {
  ...RENDER_LIMITS,
  steps: 20_000,
  workBytes: 64 * 1024,
};

/** The value of a constant expression; {@link UNKNOWN} also if `work` is used up or a helper fails. */
export function constantOf(expression: Expression, work: WorkBudget): unknown {
  if (expression.kind === 'literal') return expression.value;
  if (expression.kind === 'path') return UNKNOWN;
  try {
    return callOf(expression, work);
  } catch (error) {
    if (error instanceof Fault) return UNKNOWN;
    throw error;
  }
}

function callOf({ helper, args, hash }: Call, work: WorkBudget): unknown {
  if (helper.kind === 'source') return UNKNOWN;
  if (helper.kind === 'choice') {
    let value: unknown;
    for (const arg of args) {
      value = constantOf(arg, work);
      if (value === UNKNOWN || helper.stopsAt(value)) return value;
    }
    return value;
  }
  const values = args.map((arg) => constantOf(arg, work));
  const named = new Map(hash.map(([name, value]) => [name, constantOf(value, work)]));
  if ([...values, ...named.values()].includes(UNKNOWN)) return UNKNOWN;
  work.step(1);
  for (const value of values) if (typeof value === 'string') work.read(value.length);
  return helper.run(new HelperCall(values, named, helper.lenient === true, work));
}
