/**
 * Settings that conflict with each other. Each problem names both.
 */
import { clashingPaths, formatDuration, type Problem } from '../../core/index.ts';
import type { FileSettings, Setting, Settings, VariableSettings } from './annotations.ts';
import type { CheckContext } from './check-context.ts';
import { checkClouds, withGcpCredentials } from './clouds.ts';
import { csiObstacles } from './csi-settings.ts';
import {
  checkFederated,
  checkX509File,
  checkX509Format,
  CONTENTS,
  MAX_CLASHES,
  openKey,
  x509Files,
} from './x509-files.ts';
import { x509Login } from './x509-login.ts';
import { DEFAULTS } from '../schema/index.ts';

/** Finds every conflict between settings. Defaults that do not apply are not conflicts. `input.files` are those that the pod sets. */
export function contradictions(input: Omit<CheckContext, 'report'>): {
  readonly problems: Problem[];
  readonly warnings: string[];
} {
  const { settings, prefix } = input;
  const problems: Problem[] = [];
  const report = (name: string, message: string): void => {
    problems.push({ path: `${prefix}/${name}`, message });
  };
  const files = withGcpCredentials(settings, input.files);
  const context: CheckContext = { ...input, files, report };
  for (const file of files) {
    if (x509Files(settings).some(({ name }) => name === file.name)) checkX509File(file, context);
    else checkFile(file, context);
  }
  for (const variable of input.variables) checkVariable(variable, context);
  checkIdentity(context);
  checkSvidChoice(context);
  checkX509Format(context);
  checkMode(context);
  checkRevokeDelay(context);
  checkStartGate(context);
  checkPaths(context);
  checkClouds({ ...context, files: input.files });
  const warnings: string[] = [];
  const byX509 = x509Login(settings);
  if (settings.audience.source === 'pod' && byX509 !== undefined) {
    warnings.push(`${prefix}/audience has no effect with ${prefix}/${byX509}`);
  }
  const open = openKey(settings, files);
  if (open !== undefined) {
    const text = `lets every user in the containers read the private key ${open.name}`;
    warnings.push(`${prefix}/${open.setting} ${text}`);
  }
  return { problems, warnings };
}

function checkFile(file: FileSettings, context: CheckContext): void {
  const { prefix, report } = context;
  const { name } = file;
  const annotation = (setting: string): string => `${prefix}/${setting}-${name}`;
  const [first, ...others] = CONTENTS.filter((setting) => file[setting] !== undefined);
  for (const other of others) {
    report(
      `${other}-${name}`,
      `conflicts with ${annotation(first ?? '')}: set only one of the two`,
    );
  }
  if (first === 'jwt-svid' || others.includes('jwt-svid')) {
    for (const setting of ['secret', 'optional', 'vault', 'role', 'refresh'] as const) {
      if (file[setting] === undefined) continue;
      report(`${setting}-${name}`, `conflicts with ${annotation('jwt-svid')}`);
    }
  }
  if (file.secret === undefined) checkWithoutSecret(file, first, context);
}

/** `content` is the first of {@link CONTENTS} that the file has. */
function checkWithoutSecret(
  file: FileSettings,
  content: (typeof CONTENTS)[number] | undefined,
  { prefix, report }: CheckContext,
): void {
  const { name } = file;
  const annotation = (setting: string): string => `${prefix}/${setting}-${name}`;
  if (content === 'format') report(`format-${name}`, `requires ${annotation('secret')}`);
  if (file.optional !== undefined && (content === 'template' || content === 'template-from')) {
    const remedy = 'within a template use the helper optionalSecret';
    report(`optional-${name}`, `requires ${annotation('secret')}; ${remedy}`);
  }
  if (content === undefined) {
    const sources = ['secret', 'template', 'jwt-svid'].map(annotation).join(', ');
    const rule = `has no effect without a file "${name}": set one of ${sources}`;
    report(`${firstSettingOf(file)}-${name}`, rule);
  }
}

function checkVariable(variable: VariableSettings, { prefix, report }: CheckContext): void {
  const { name, env, 'env-template': template, 'env-optional': isOptional } = variable;
  const own = `${prefix}/env-${name}`;
  if (env !== undefined && template !== undefined) {
    report(`env-template-${name}`, `conflicts with ${own}: set only one of the two`);
  }
  if (env !== undefined || isOptional === undefined) return;
  const remedy = template === undefined ? '' : '; within a template use the helper optionalSecret';
  report(`env-optional-${name}`, `requires ${own}${remedy}`);
}

function firstSettingOf(file: FileSettings): string {
  return Object.keys(file).find((key) => key !== 'name') ?? 'file';
}

function checkIdentity({ settings, prefix, report }: CheckContext): void {
  const method = settings['auth-method'].value;
  const needs = method === 'kubernetes' ? 'service-account' : 'spiffe';
  const isFree = method === 'jwt';
  const identity = settings.identity.value ?? needs;
  if (!isFree && identity !== needs) {
    report(
      'identity',
      `${identity} conflicts with ${prefix}/auth-method ${method}, which requires ${needs}`,
    );
  }
  if (settings['auth-svid'].source === 'pod' && method !== 'spiffe') {
    report(
      'auth-svid',
      `requires ${prefix}/auth-method spiffe: ${method} uses only one kind of SVID`,
    );
  }
  if (method === 'kubernetes' && settings.role.value === undefined) {
    report('auth-method', `kubernetes requires ${prefix}/role: the method has no default role`);
  }
}

/** Contents that may need an SVID. */
const SVID_USERS = ['jwt-svid', 'template', 'template-from'] as const;

function checkSvidChoice({ settings, files, variables, prefix, report }: CheckContext): void {
  const byMethod = settings['auth-method'].value === 'kubernetes';
  if (!byMethod && settings.identity.value !== 'service-account') return;
  if (settings['x509-svid'].value) return;
  if (files.some((file) => SVID_USERS.some((name) => file[name] !== undefined))) return;
  if (variables.some((one) => one['env-template'] !== undefined)) return;
  const other = byMethod ? 'auth-method kubernetes' : 'identity service-account';
  for (const name of ['spiffe-id', 'spiffe-hint'] as const) {
    if (settings[name].source !== 'pod') continue;
    report(name, `conflicts with ${prefix}/${other}: no SVID is used`);
  }
}

function checkMode(context: CheckContext): void {
  const { settings, files, variables, prefix, report } = context;
  const mode = settings.mode.value;
  // Where csi is only a default that this pod cannot have, admission falls back to another mode.
  if (mode === 'csi' && settings.mode.source === 'pod') {
    const found = csiObstacles({ settings, files, variables });
    for (const { name, message } of found)
      report(name, `conflicts with ${prefix}/mode csi: ${message}`);
  }
  if (mode === 'init') checkInit(context);
}

function checkInit({ settings, files, prefix, report }: CheckContext): void {
  const reason = `conflicts with ${prefix}/mode init: no agent runs after the start`;
  if (isSet(settings['on-change'])) report('on-change', reason);
  if (requestsRestarts(settings)) report('env-on-change', reason);
  for (const file of files) {
    if (file['on-change'] !== undefined) report(`on-change-${file.name}`, reason);
  }
  const revoke = settings['revoke-on-exit'];
  if (revoke.source === 'pod' && revoke.value) report('revoke-on-exit', reason);
}

function requestsRestarts({ 'env-on-change': { source, value } }: Settings): boolean {
  return source === 'pod' && value === 'restart';
}

/** Why a delay of the revocation has no effect in a mode. */
const WITHOUT_DELAY = {
  native: 'the agent is stopped after the application has ended',
  init: 'no agent runs after the start',
} as const;

function checkRevokeDelay({ settings, prefix, report }: CheckContext): void {
  const mode = settings.mode.value;
  if (mode !== 'native' && mode !== 'init') return;
  if (settings['revoke-delay'].source !== 'pod') return;
  report('revoke-delay', `conflicts with ${prefix}/mode ${mode}: ${WITHOUT_DELAY[mode]}`);
}

function checkStartGate({ settings, prefix, report }: CheckContext): void {
  const gate = settings['start-gate'];
  if (gate.source !== 'pod') return;
  const mode = settings.mode.value;
  if (mode === 'pair' || mode === 'init')
    report(
      'start-gate',
      `conflicts with ${prefix}/mode ${mode}: its init container holds the application back`,
    );
  if (gate.value !== 'hook') return;
  const remedy = 'the kubelet would restart the agent, with a growing back-off: set probe';
  if (settings['on-missing-vault'].value === 'wait')
    report('start-gate', `hook conflicts with ${prefix}/on-missing-vault wait: ${remedy}`);
  if (settings['init-deadline'].value > DEFAULTS.MAX_HOOK_DEADLINE_MS) {
    const most = formatDuration(DEFAULTS.MAX_HOOK_DEADLINE_MS);
    report('start-gate', `hook conflicts with ${prefix}/init-deadline over ${most}: ${remedy}`);
  }
}

/** True if some level sets it. */
function isSet(setting: Setting<unknown>): boolean {
  return setting.source !== 'built in';
}

/** The path of each file below the mount, by the file's name. */
function pathsByName({ settings, files }: CheckContext): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const { name, path } of x509Files(settings)) paths.set(name, path);
  for (const { name, file } of files) paths.set(name, file?.value ?? paths.get(name) ?? name);
  return paths;
}

function checkPaths(context: CheckContext): void {
  const { prefix, report } = context;
  const pathByName = pathsByName(context);
  checkFederated(pathByName, context);
  const names = [...pathByName.keys()];
  const clashes = clashingPaths([...pathByName.values()]);
  for (const { path, index, other, otherIndex } of clashes.slice(0, MAX_CLASHES)) {
    const partner = `${prefix}/file-${names[otherIndex] ?? ''}`;
    const clash =
      path === other
        ? `is the same as that of ${partner}`
        : `requires "${other}" to be a directory, and that is the path of ${partner}`;
    report(`file-${names[index] ?? ''}`, `the path "${path}" ${clash}`);
  }
}
