/**
 * The files of the X.509-SVID, and what conflicts with them.
 */
import { federatedBundlePath, mayBeFederatedBundle } from '../../core/index.ts';
import { DEFAULTS } from '../schema/index.ts';
import type { FileSettings, Settings } from './annotations.ts';
import type { CheckContext } from './check-context.ts';

/** The files of the X.509-SVID: logical name, part, default path, and whether the private key is in it. None if it is not written. */
export function x509Files(
  settings: Pick<Settings, 'x509-svid' | 'x509-svid-format'>,
): (typeof DEFAULTS.X509_FILES)[keyof typeof DEFAULTS.X509_FILES] | readonly [] {
  return settings['x509-svid'].value ? DEFAULTS.X509_FILES[settings['x509-svid-format'].value] : [];
}

/** The setting that makes the private key readable for others than owner and group, if there is one, and the file with the key. */
export function openKey(
  settings: Settings,
  files: readonly FileSettings[],
): { readonly setting: string; readonly name: string } | undefined {
  const key = x509Files(settings).find(({ hasKey }) => hasKey);
  if (key === undefined) return undefined;
  const { name } = key;
  const own = files.find((file) => file.name === name)?.['file-mode'];
  const mode = own?.value ?? settings['file-mode'].value ?? 0;
  if ((mode & 0o004) === 0) return undefined;
  return { setting: own === undefined ? 'file-mode' : `file-mode-${name}`, name };
}

/** Settings of a file that say what is in it. */
export const CONTENTS = ['template', 'template-from', 'format', 'jwt-svid'] as const;

export function checkX509File(file: FileSettings, { prefix, report }: CheckContext): void {
  for (const name of [...CONTENTS, 'secret', 'optional', 'vault', 'role', 'refresh'] as const) {
    if (file[name] === undefined) continue;
    report(
      `${name}-${file.name}`,
      `conflicts with ${prefix}/x509-svid, which delivers "${file.name}"`,
    );
  }
}

export function checkX509Format({ settings, prefix, report }: CheckContext): void {
  const {
    'x509-svid': svid,
    'x509-svid-format': format,
    'x509-svid-password': password,
  } = settings;
  if (format.source === 'pod' && !svid.value) {
    report('x509-svid-format', `requires ${prefix}/x509-svid`);
  }
  if (password.source === 'pod' && !(svid.value && format.value === 'pkcs12')) {
    report('x509-svid-password', `requires ${prefix}/x509-svid-format pkcs12`);
  }
}

/** More clashes of paths are not reported. */
export const MAX_CLASHES = 20;

/** Which trust domains the workload federates with is known only when it runs, so their names are all reserved. */
export function checkFederated(
  pathByName: ReadonlyMap<string, string>,
  { settings, prefix, report }: CheckContext,
): void {
  const bundle = settings['x509-svid'].value ? pathByName.get('bundle') : undefined;
  if (bundle === undefined) return;
  const clashes = [...pathByName].filter(
    ([name, path]) => name !== 'bundle' && mayBeFederatedBundle(bundle, path),
  );
  for (const [name, path] of clashes.slice(0, MAX_CLASHES)) {
    const reserved = federatedBundlePath(bundle, '<trust domain>');
    report(
      `file-${name}`,
      `the path "${path}" is reserved by ${prefix}/x509-svid for the bundle of a federated trust domain (${reserved}): choose another one`,
    );
  }
}
