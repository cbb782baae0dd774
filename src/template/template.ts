/**
 * Parses and checks templates.
 */
import type { TemplateCheck } from '../contracts/index.ts';
import { problemsError } from '../core/index.ts';
import { compile } from './compile.ts';
import type { Template } from './tree.ts';

/**
 * Parses and checks a template. `name` identifies it in errors.
 *
 * @throws VouchsafeError `ERR_TEMPLATE_SYNTAX` or `ERR_TEMPLATE_HELPER` that lists every problem.
 * @see https://handlebarsjs.com/guide/
 */
export function parseTemplate(source: string, name: string): Template {
  const { template, problems, isSyntax } = compile(source, name);
  if (problems.length === 0) return template;
  const code = isSyntax ? 'ERR_TEMPLATE_SYNTAX' : 'ERR_TEMPLATE_HELPER';
  throw problemsError(code, 'the template is not valid', problems);
}

/** Finds problems and dependencies of a template without rendering it. Never throws. */
export function checkTemplate(source: string, name: string): TemplateCheck {
  const { template, problems } = compile(source, name);
  return { problems, dependencies: template.dependencies };
}
