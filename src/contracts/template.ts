import type { Dependency, Problem } from '../core/index.ts';

/** What is known about a template without data. */
export interface TemplateCheck {
  /** At most 50 problems; empty for a valid template. */
  readonly problems: readonly Problem[];
  /** Dependencies of calls with constant arguments, in the order of the text; calls that depend on data are not included. */
  readonly dependencies: readonly Dependency[];
}

/** Checks a template without rendering it. `name` identifies it in problems. Never throws. */
export type CheckTemplate = (source: string, name: string) => TemplateCheck;
