/**
 * Checks of the requested files, for agent and CSI driver. Sizes are checked first: what is too large is not parsed.
 */
import type { CheckTemplate } from '../contracts/index.ts';
import { MAX_FILES, type RawAgentConfig } from '../config/agent/index.ts';
import type { ResolvedSettings } from '../config/annotations/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { likelyJsonPathOf, type Dependency, type Problem } from '../core/index.ts';
import type { Diagnostics } from './diagnostics.ts';
import { countTokens } from './template-tokens.ts';

/** Limit of the document in the pod: an object of the API server holds 1.5 MiB in total. */
const MAX_CONFIG_BYTES = 100 * 1024;
/** Limit of all templates of a pod together; parsing one of them takes up to ten microseconds. */
export const MAX_TEMPLATE_TOKENS = 6000;

/** The most warnings about paths: an API server shows a few. */
const MAX_PATH_WARNINGS = 8;

/** Input of {@link checkContents}. */
export interface ContentsInput {
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly checkTemplate: CheckTemplate;
  /** The document for the pod. */
  readonly config: RawAgentConfig;
  /** What the user can do about templates that are too large; `name` is the file with the longest one. */
  readonly remedy: (name: string) => string;
}

/** Dependencies of calls with only literal arguments, by annotation of the template; empty if a size is over its limit. */
export type LiteralDependencies = ReadonlyMap<string, readonly Dependency[]>;

/** Reports a pod without files, exceeded limits, and templates that cannot be rendered. Parses each template once. */
export function checkContents(input: ContentsInput, diagnostics: Diagnostics): LiteralDependencies {
  const { settings, installation, checkTemplate } = input;
  const prefix = installation.annotationPrefix;
  const { files, variables } = settings;
  const isEmpty = files.length + variables.length === 0 && !settings.settings['x509-svid'].value;
  if (isEmpty && settings.problems.length === 0) {
    const message = `nothing to deliver: set ${prefix}/secret-<name>, ${prefix}/template-<name>, ${prefix}/jwt-svid-<name>, ${prefix}/env-<NAME> or ${prefix}/x509-svid`;
    diagnostics.invalid({ path: `${prefix}/inject`, message });
  }
  const literals = new Map<string, readonly Dependency[]>();
  const tooMuch = sizeProblem(input);
  if (tooMuch !== undefined) {
    diagnostics.invalid(tooMuch);
    return literals;
  }
  for (const { annotation, name, text } of templatesOf(settings)) {
    const found = checkTemplate(text, name);
    const at = `${prefix}/${annotation}`;
    literals.set(at, found.dependencies);
    for (const { path, message } of found.problems) {
      diagnostics.invalid({ path: at, message: `${path}: ${message}` });
    }
  }
  diagnostics.warn(...pathWarnings(input, literals));
  return literals;
}

/** Every inline template, and the annotation that it comes from, without the prefix. */
function templatesOf({ files, variables }: ResolvedSettings): readonly {
  readonly annotation: string;
  readonly name: string;
  readonly text: string;
}[] {
  return [
    ...files.map(({ name, template }) => ({ annotation: `template-${name}`, name, template })),
    ...variables.map(({ name, 'env-template': template }) => {
      return { annotation: `env-template-${name}`, name: `$${name}`, template };
    }),
  ].flatMap(({ template, ...rest }) =>
    template === undefined ? [] : [{ ...rest, text: template.value }],
  );
}

/**
 * Warns about paths that are probably endpoints of a PKI or SSH engine that send no JSON. What is mounted where is not known, so they
 * are not denied.
 */
function pathWarnings(
  { settings, installation }: ContentsInput,
  literals: LiteralDependencies,
): readonly string[] {
  const prefix = installation.annotationPrefix;
  const reads = [
    ...settings.files.flatMap(({ name, secret }) =>
      secret === undefined || secret.value.params !== undefined
        ? []
        : [{ setting: `${prefix}/secret-${name}`, path: secret.value.path }],
    ),
    ...settings.variables.flatMap(({ name, env }) =>
      env === undefined ? [] : [{ setting: `${prefix}/env-${name}`, path: env.value.path }],
    ),
    ...[...literals].flatMap(([setting, found]) =>
      found.flatMap((one) => (one.kind === 'read' ? [{ setting, path: one.path }] : [])),
    ),
  ];
  const warnings = reads.flatMap(({ setting, path }) => {
    const inJson = likelyJsonPathOf(path);
    if (inJson === undefined) return [];
    return [
      `${setting}: ${path} has no JSON, if it belongs to a PKI or SSH engine: read ${inJson} instead`,
    ];
  });
  return warnings.slice(0, MAX_PATH_WARNINGS);
}

/** The same check, which remembers its results: made for one review, it checks each template once. */
export function checkOncePerTemplate(check: CheckTemplate): CheckTemplate {
  const results = new Map<string, Map<string, ReturnType<CheckTemplate>>>();
  return (source, name) => {
    const known = results.get(name) ?? new Map<string, ReturnType<CheckTemplate>>();
    const found = known.get(source) ?? check(source, name);
    results.set(name, known.set(source, found));
    return found;
  };
}

/** Whether a document is too large for a pod. */
export function isTooLarge(config: RawAgentConfig): boolean {
  return bytesOf(config) > MAX_CONFIG_BYTES;
}

function bytesOf(config: RawAgentConfig): number {
  return Buffer.byteLength(configText(config));
}

/** The first exceeded limit. Each limit is cheaper to check than the next one. */
function sizeProblem(input: ContentsInput): Problem | undefined {
  const { settings, installation, config, remedy } = input;
  const { files } = settings;
  const prefix = installation.annotationPrefix;
  if (files.length > MAX_FILES) {
    const message = `${files.length} files are requested; the maximum is ${MAX_FILES}`;
    return { path: `${prefix}/inject`, message };
  }
  const templates = templatesOf(settings);
  const { annotation, name } = templates.reduce((a, b) => (b.text.length > a.text.length ? b : a), {
    annotation: 'template-',
    name: '',
    text: '',
  });
  const path = `${prefix}/${annotation}`;
  const advice = annotation.startsWith('env-') ? 'make the template shorter' : remedy(name);
  const bytes = bytesOf(config);
  if (bytes > MAX_CONFIG_BYTES) {
    const message = `the agent's configuration would have ${bytes} bytes, the maximum is ${MAX_CONFIG_BYTES}: ${advice}`;
    return { path, message };
  }
  const tokens = templates.reduce((sum, { text }) => sum + countTokens(text), 0);
  if (tokens <= MAX_TEMPLATE_TOKENS) return undefined;
  const message = `the templates of the pod have more than ${MAX_TEMPLATE_TOKENS} tokens within {{ and }}: ${advice}`;
  return { path, message };
}

/**
 * The document as the text of an environment variable. The kubelet expands `$(NAME)` in those, so dollar signs are
 * escaped as JSON allows, and templates keep theirs.
 *
 * @see https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
 */
export function configText(config: RawAgentConfig): string {
  return JSON.stringify(config).replaceAll('$', '\\u0024');
}
