/**
 * Checks of what a pod asks for, whoever is to deliver it. Ring: admission.
 */
import type { Installation, RawAgentConfig, ResolvedSettings } from '../config/index.ts';
import type { Problem } from '../core/index.ts';
import type { CheckTemplate } from './policy.ts';

/** Limit of the document in the pod: an object of the API server holds 1.5 MiB in all. */
const MAX_CONFIG_BYTES = 100 * 1024;

/** What {@link checkContents} goes by. */
export interface ContentsInput {
  readonly settings: ResolvedSettings;
  readonly installation: Installation;
  readonly checkTemplate: CheckTemplate;
}

/** Reports a request for nothing, and templates that cannot be rendered. */
export function checkContents(
  { settings, installation, checkTemplate }: ContentsInput,
  problems: Problem[],
): void {
  const prefix = installation.annotationPrefix;
  const isEmpty = settings.files.length === 0 && !settings.settings['x509-svid'].value;
  if (isEmpty && settings.problems.length === 0) {
    const message = `nothing to deliver: give ${prefix}/secret-<name>, ${prefix}/template-<name>, ${prefix}/jwt-svid-<name> or ${prefix}/x509-svid`;
    problems.push({ path: `${prefix}/inject`, message });
  }
  for (const file of settings.files) {
    const path = `${prefix}/template-${file.name}`;
    const source = file.template?.value;
    if (source === undefined) continue;
    for (const problem of checkTemplate(source, file.name).problems) {
      problems.push({ path, message: `${problem.path}: ${problem.message}` });
    }
  }
}

/** Reports a document that is too large; `remedy` is told the name of the file with the longest template. */
export function checkSize(
  { files }: ResolvedSettings,
  prefix: string,
  remedy: (name: string) => string,
  found: { readonly config: RawAgentConfig; readonly problems: Problem[] },
): void {
  const bytes = Buffer.byteLength(configText(found.config));
  if (bytes <= MAX_CONFIG_BYTES) return;
  const largest = files
    .map((file) => ({ name: file.name, size: file.template?.value.length ?? 0 }))
    .reduce((a, b) => (b.size > a.size ? b : a), { name: '', size: 0 });
  const message = `the agent's configuration would be ${bytes} bytes, more than ${MAX_CONFIG_BYTES}: ${remedy(largest.name)}`;
  found.problems.push({ path: `${prefix}/template-${largest.name}`, message });
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
