/**
 * Checks of what a pod asks for, whoever is to deliver it. Sizes are judged first: what is too large is not parsed.
 */
import {
  MAX_FILES,
  type Installation,
  type RawAgentConfig,
  type ResolvedSettings,
} from '../config/index.ts';
import type { Dependency, Problem } from '../core/index.ts';
import { countTokens } from './template-tokens.ts';

/** Finds what is wrong with a template, and what its literal calls ask for, without running it. */
export type CheckTemplate = (
  source: string,
  name: string,
) => { readonly problems: readonly Problem[]; readonly dependencies: readonly Dependency[] };

/** Limit of the document in the pod: an object of the API server holds 1.5 MiB in all. */
const MAX_CONFIG_BYTES = 100 * 1024;
/** Limit of all templates of a pod together; parsing one of them takes up to ten microseconds. */
export const MAX_TEMPLATE_TOKENS = 6000;

/** What {@link checkContents} goes by. */
export interface ContentsInput {
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly checkTemplate: CheckTemplate;
  /** The document that would be written. */
  readonly config: RawAgentConfig;
  /** What a person can do about templates that are too large, told the name of the file with the longest one. */
  readonly remedy: (name: string) => string;
}

/** What the calls with nothing but literals ask for, by name of the file; nothing where a size is over its limit. */
export type LiteralDependencies = ReadonlyMap<string, readonly Dependency[]>;

/** Reports a request for nothing or for too much, and templates that cannot be rendered. Parses each template once. */
export function checkContents(input: ContentsInput, problems: Problem[]): LiteralDependencies {
  const { settings, installation, checkTemplate } = input;
  const prefix = installation.annotationPrefix;
  const isEmpty = settings.files.length === 0 && !settings.settings['x509-svid'].value;
  if (isEmpty && settings.problems.length === 0) {
    const message = `nothing to deliver: give ${prefix}/secret-<name>, ${prefix}/template-<name>, ${prefix}/jwt-svid-<name> or ${prefix}/x509-svid`;
    problems.push({ path: `${prefix}/inject`, message });
  }
  const literals = new Map<string, readonly Dependency[]>();
  const tooMuch = sizeProblem(input);
  if (tooMuch !== undefined) {
    problems.push(tooMuch);
    return literals;
  }
  for (const { name, template } of settings.files) {
    if (template === undefined) continue;
    const found = checkTemplate(template.value, name);
    literals.set(name, found.dependencies);
    for (const { path, message } of found.problems) {
      problems.push({ path: `${prefix}/template-${name}`, message: `${path}: ${message}` });
    }
  }
  return literals;
}

/** The same check, which looks at each template once for as long as this function is kept: for one review. */
export function checkedOnce(check: CheckTemplate): CheckTemplate {
  const results = new Map<string, Map<string, ReturnType<CheckTemplate>>>();
  return (source, name) => {
    const known = results.get(name) ?? new Map<string, ReturnType<CheckTemplate>>();
    const found = known.get(source) ?? check(source, name);
    results.set(name, known.set(source, found));
    return found;
  };
}

/** Whether a document is larger than what may be written into a pod. */
export function isTooLarge(config: RawAgentConfig): boolean {
  return bytesOf(config) > MAX_CONFIG_BYTES;
}

function bytesOf(config: RawAgentConfig): number {
  return Buffer.byteLength(configText(config));
}

/** Why nothing is parsed at all. Each limit is cheaper to look at than the next. */
function sizeProblem(input: ContentsInput): Problem | undefined {
  const { settings, installation, config, remedy } = input;
  const { files } = settings;
  const prefix = installation.annotationPrefix;
  if (files.length > MAX_FILES) {
    const message = `asks for ${files.length} files, more than ${MAX_FILES}`;
    return { path: `${prefix}/inject`, message };
  }
  const templates = files.map(({ name, template }) => ({ name, text: template?.value ?? '' }));
  const { name } = templates.reduce((a, b) => (b.text.length > a.text.length ? b : a), {
    name: '',
    text: '',
  });
  const path = `${prefix}/template-${name}`;
  const bytes = bytesOf(config);
  if (bytes > MAX_CONFIG_BYTES) {
    const message = `the agent's configuration would be ${bytes} bytes, more than ${MAX_CONFIG_BYTES}: ${remedy(name)}`;
    return { path, message };
  }
  const tokens = templates.reduce((sum, { text }) => sum + countTokens(text), 0);
  if (tokens <= MAX_TEMPLATE_TOKENS) return undefined;
  const message = `the templates of the pod have more than ${MAX_TEMPLATE_TOKENS} words and signs within {{ and }}: ${remedy(name)}`;
  return { path, message };
}

/**
 * The document as the text of an environment variable. The kubelet expands `$(NAME)` in those; JSON can
 * spell every dollar sign in another way, so that a template keeps its own.
 *
 * @see https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
 */
export function configText(config: RawAgentConfig): string {
  return JSON.stringify(config).replaceAll('$', '\\u0024');
}
