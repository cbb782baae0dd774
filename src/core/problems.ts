/**
 * Collects every problem of an input before refusing it once.
 */
import { VouchsafeError } from './errors.ts';
import type { ErrorCode } from './error-table.ts';

/** One thing wrong with an input. */
export interface Problem {
  /** Where: an annotation, a path in a document (`files[0].mode`), a flag. */
  readonly path: string;
  /** What is wrong and what the rule is. Holds the given value only where it is no secret. */
  readonly message: string;
  /** What would be right, where that is for those alone who have the installation's values: a stranger is not told. */
  readonly help?: string;
  /** Name of the installation's policy that refuses. */
  readonly policy?: string;
}

/** Prints problems one a line, `path: message`. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map((problem) => `${problem.path}: ${problem.message}`).join('\n');
}

/** The same with the help, for those who have the values of the installation. */
export function explainProblems(problems: readonly Problem[]): string {
  return formatProblems(
    problems.map(({ path, message, help }) => ({
      path,
      message: help === undefined ? message : `${message} (${help})`,
    })),
  );
}

/** The error that carries all problems at once. */
export function problemsError(
  code: ErrorCode,
  subject: string,
  problems: readonly Problem[],
): VouchsafeError {
  const list = problems.map((problem) => `${problem.path}: ${problem.message}`);
  const text = list.length === 1 ? `: ${list.join('')}` : `:\n  - ${list.join('\n  - ')}`;
  return new VouchsafeError(code, `${subject}${text}`, { details: { problems: list } });
}
