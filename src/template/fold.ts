/**
 * What of a template is known without data: literals, and what pure helpers make of them.
 */
import { Fault } from './fault.ts';
import { HelperCall } from './helper.ts';
import type { Call, Expression } from './tree.ts';
import { RENDER_LIMITS, type RenderLimits, type WorkBudget } from './work.ts';

/** Stands for what only data or a rendering can tell. */
export const UNKNOWN: unique symbol = Symbol('unknown');

/** Bounds for all constants of one template: names of paths are short, and what is longer is known when it runs. */
export const FOLDING_LIMITS: RenderLimits = {
  ...RENDER_LIMITS,
  steps: 20_000,
  workBytes: 64 * 1024,
};

/** The value of an expression, or {@link UNKNOWN}, also where `work` is used up or it cannot be rendered. */
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
