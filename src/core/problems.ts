/**
 * Problems of an input: all are collected, then reported in one error.
 */
import { VouchsafeError } from './errors.ts';
import type { ErrorCode } from './error-table.ts';

/** One problem of an input. */
export interface Problem {
  /** An annotation, a path in a document (`files[0].mode`) or a flag. */
  readonly path: string;
  /** What is not valid, and the rule. Contains the value only if it cannot be a secret. */
  readonly message: string;
  /** What is allowed, only for readers who may see the installation's values. */
  readonly help?: string;
  /** Name of the installation's policy that denies it. */
  readonly policy?: string;
}

/** One line for each problem: `path: message`. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map((problem) => `${problem.path}: ${problem.message}`).join('\n');
}

/** The same with the help, for readers who may see the installation's values. */
export function explainProblems(problems: readonly Problem[]): string {
  return formatProblems(
    problems.map(({ path, message, help }) => ({
      path,
      message: help === undefined ? message : `${message} (${help})`,
    })),
  );
}

/** One error for all problems. */
export function problemsError(
  code: ErrorCode,
  subject: string,
  problems: readonly Problem[],
): VouchsafeError {
  const list = problems.map((problem) => `${problem.path}: ${problem.message}`);
  const text = list.length === 1 ? `: ${list.join('')}` : `:\n  - ${list.join('\n  - ')}`;
  return new VouchsafeError(code, `${subject}${text}`, { details: { problems: list } });
}
