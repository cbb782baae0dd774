/** What the template tests share. */
import assert from 'node:assert/strict';
import { VouchsafeError, type Dependency, type ErrorCode } from '../../../src/core/index.ts';
import { dependencyKey } from '../../../src/core/index.ts';
import { parseTemplate, renderTemplate, type RenderResult } from '../../../src/template/index.ts';

/** Renders `source` over `root`, with the dependencies whose keys are in `values`. */
export function pass(
  source: string,
  root: unknown = {},
  values: Readonly<Record<string, unknown>> = {},
): RenderResult {
  return renderTemplate(parseTemplate(source, 't'), { root, lookup: lookupIn(values) });
}

/** The text of a template that misses nothing. */
export function render(
  source: string,
  root: unknown = {},
  values: Readonly<Record<string, unknown>> = {},
): string {
  const { text, missing } = pass(source, root, values);
  assert.deepEqual(missing, []);
  assert.ok(text !== undefined);
  return text;
}

/** Finds values by `dependencyKey`. */
export function lookupIn(
  values: Readonly<Record<string, unknown>>,
): (dependency: Dependency) => { value: unknown } | undefined {
  return (dependency) => {
    const key = dependencyKey(dependency);
    return Object.hasOwn(values, key) ? { value: values[key] } : undefined;
  };
}

/** The message of the error that `work` ends with, which must have that code. */
export function refusal(code: ErrorCode, work: () => unknown): string {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof VouchsafeError, String(error));
    assert.equal(error.code, code, error.message);
    return error.message;
  }
  return assert.fail(`no ${code}`);
}
