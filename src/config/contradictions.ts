/**
 * Settings that cannot both be meant. Each problem names both. Ring: config.
 */
import { clashingPaths, type Problem } from '../core/index.ts';
import { X509_FILES } from './defaults.ts';
import type { FileSettings, Setting, Settings } from './settings.ts';

/** Audience that Entra ID asks of federated tokens. */
export const AZURE_AUDIENCE = 'api://AzureADTokenExchange';

interface Findings {
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** Finds every contradiction. A default that does not apply is no contradiction; only what was said is. */
export function contradictions(
  settings: Settings,
  files: readonly FileSettings[],
  prefix: string,
): Findings {
  const findings: Findings = { problems: [], warnings: [] };
  const report = (name: string, message: string): void => {
    findings.problems.push({ path: `${prefix}/${name}`, message });
  };
  for (const file of files) inFile(file, settings, prefix, report);
  inIdentity(settings, files, prefix, report);
  inDelivery(settings, files, prefix, report);
  inAzure(settings, files, prefix, report);
  if (settings.audience.source === 'pod' && settings['auth-method'].value === 'cert') {
    findings.warnings.push(`${prefix}/audience has no effect with ${prefix}/auth-method cert`);
  }
  return findings;
}

type Report = (name: string, message: string) => void;

const CONTENTS = ['template', 'template-from', 'format', 'jwt-svid'] as const;

function inFile(file: FileSettings, settings: Settings, prefix: string, report: Report): void {
  const annotation = (setting: string): string => `${prefix}/${setting}-${file.name}`;
  const [first, ...others] = CONTENTS.filter((name) => file[name] !== undefined);
  for (const other of others) {
    report(`${other}-${file.name}`, `contradicts ${annotation(first ?? '')}: give one of the two`);
  }
  const isSvid = file['jwt-svid'] !== undefined;
  for (const setting of ['secret', 'refresh'] as const) {
    if (isSvid && file[setting] !== undefined) {
      report(`${setting}-${file.name}`, `contradicts ${annotation('jwt-svid')}`);
    }
  }
  if (file.format !== undefined && file.secret === undefined) {
    report(`format-${file.name}`, `needs ${annotation('secret')}: there is nothing to print`);
  }
  const isX509 = settings['x509-svid'].value && X509_FILES.some(({ name }) => name === file.name);
  const hasContent = first !== undefined || file.secret !== undefined;
  if (isX509 && (hasContent || file.refresh !== undefined)) {
    const given = first ?? (file.secret === undefined ? 'refresh' : 'secret');
    report(`${given}-${file.name}`, `contradicts ${prefix}/x509-svid, which writes "${file.name}"`);
  }
  if (!isX509 && !hasContent) {
    const [given = 'file'] = Object.keys(file).filter((key) => key !== 'name');
    report(
      `${given}-${file.name}`,
      `there is no file "${file.name}": give ${annotation('secret')}, ${annotation('template')} or ${annotation('jwt-svid')}`,
    );
  }
}

/** Contents that may call for an SVID. */
const SVID_USERS = ['jwt-svid', 'template', 'template-from'] as const;

/** True where someone said it, rather than nobody. */
function isSaid(setting: Setting<unknown>): boolean {
  return setting.source !== 'built in';
}

function inIdentity(
  settings: Settings,
  files: readonly FileSettings[],
  prefix: string,
  report: Report,
): void {
  const method = settings['auth-method'].value;
  const identity = settings.identity.value;
  if (identity === 'service-account' && (method === 'cert' || method === 'spiffe')) {
    report(
      'identity',
      `service-account contradicts ${prefix}/auth-method ${method}: it needs an SVID`,
    );
  }
  if (identity === 'spiffe' && method === 'kubernetes') {
    report(
      'identity',
      `spiffe contradicts ${prefix}/auth-method kubernetes: it needs a service-account token`,
    );
  }
  if (method === 'kubernetes' && settings.role.value === undefined) {
    report('auth-method', `kubernetes needs ${prefix}/role: the method has no default role`);
  }
  const usesSvids =
    settings['x509-svid'].value ||
    files.some((file) => SVID_USERS.some((name) => file[name] !== undefined));
  const byToken = identity === 'service-account' || method === 'kubernetes';
  for (const name of ['spiffe-id', 'spiffe-hint'] as const) {
    if (settings[name].source === 'pod' && byToken && !usesSvids) {
      const other = identity === undefined ? 'auth-method' : 'identity';
      report(name, `contradicts ${prefix}/${other} ${settings[other].text ?? ''}: no SVID is used`);
    }
  }
}

function inDelivery(
  settings: Settings,
  files: readonly FileSettings[],
  prefix: string,
  report: Report,
): void {
  const mode = settings.mode.value;
  if (mode === 'csi') report('mode', 'csi is not available yet; leave it out or say native');
  if (mode === 'init') {
    if (isSaid(settings['on-change'])) {
      report('on-change', `contradicts ${prefix}/mode init: files never change after the start`);
    }
    for (const file of files.filter((one) => one['on-change'] !== undefined)) {
      report(`on-change-${file.name}`, `contradicts ${prefix}/mode init`);
    }
  }
  for (const path of clashingPaths(outputPaths(settings, files))) {
    const names = files.filter((file) => (file.file?.value ?? file.name) === path);
    const culprit = names.map((file) => `file-${file.name}`).at(-1) ?? 'x509-svid';
    report(culprit, `the path "${path}" is another file or its directory`);
  }
}

/** Where the files of these settings land below the mount. */
function outputPaths(settings: Settings, files: readonly FileSettings[]): string[] {
  const x509 = settings['x509-svid'].value ? X509_FILES : [];
  const known = new Map(files.map((file) => [file.name, file.file?.value]));
  const others = files.filter((file) => !x509.some(({ name }) => name === file.name));
  return [
    ...x509.map(({ name, path }) => known.get(name) ?? path),
    ...others.map((file) => file.file?.value ?? file.name),
  ];
}

function inAzure(
  settings: Settings,
  files: readonly FileSettings[],
  prefix: string,
  report: Report,
): void {
  const [client, tenant] = [settings['azure-client-id'], settings['azure-tenant-id']];
  if (client.source === 'pod' && tenant.value === undefined) {
    report('azure-client-id', `needs ${prefix}/azure-tenant-id`);
  }
  if (tenant.source === 'pod' && client.value === undefined) {
    report('azure-tenant-id', `needs ${prefix}/azure-client-id`);
  }
  if (client.source === 'pod' && azureTokenFile(files) === undefined) {
    report('azure-client-id', `needs a ${prefix}/jwt-svid-<name> for ${AZURE_AUDIENCE}`);
  }
}

/** The file that holds the token for Entra ID, if there is one. */
export function azureTokenFile(files: readonly FileSettings[]): FileSettings | undefined {
  return files.find((file) => file['jwt-svid']?.value.includes(AZURE_AUDIENCE));
}
