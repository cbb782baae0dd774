/**
 * Templates from text.
 */
import { problemsError, type Dependency, type Problem } from '../core/index.ts';
import { compile } from './compile.ts';
import type { Template } from './tree.ts';

/**
 * Parses and checks a template. `name` is what errors call it.
 *
 * @throws VouchsafeError `ERR_TEMPLATE_SYNTAX` or `ERR_TEMPLATE_HELPER` that lists every problem.
 * @see https://handlebarsjs.com/guide/
 */
export function parseTemplate(source: string, name: string): Template {
  const { template, problems, isSyntax } = compile(source, name);
  if (problems.length === 0) return template;
  const code = isSyntax ? 'ERR_TEMPLATE_SYNTAX' : 'ERR_TEMPLATE_HELPER';
  throw problemsError(code, 'the template is wrong', problems);
}

/** What shows of a template without data. */
export interface TemplateCheck {
  /** Everything wrong with it; at most 50 problems, none when it is fine. */
  readonly problems: readonly Problem[];
  /** What its calls ask for whose arguments are known without data; what values decide is not known yet. */
  readonly dependencies: readonly Dependency[];
}

/** Finds what is wrong with a template and what it asks for, without running it. Never throws. */
export function checkTemplate(source: string, name: string): TemplateCheck {
  const { template, problems } = compile(source, name);
  return { problems, dependencies: template.dependencies };
}

/** What the calls ask for whose arguments are known without data, in the order of the text. */
export function literalDependencies(template: Template): readonly Dependency[] {
  return template.dependencies;
}
