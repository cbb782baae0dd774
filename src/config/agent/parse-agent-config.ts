/**
 * Raw AgentConfig document -> validated, defaulted, frozen {@link AgentConfig}.
 */
import {
  clashingPaths,
  describeClash,
  problemsError,
  variablePath,
  type Problem,
} from '../../core/index.ts';
import {
  presentsX509,
  type AgentConfig,
  type AuthConfig,
  type EnvConfig,
  type FileConfig,
  type FileSource,
  type LoginConfig,
} from './agent-config.ts';
import { agentDocument } from './agent-document.ts';
import type { AgentEnvironment } from './agent-environment.ts';
import { authOf, grantOf, loginsOf, spiffeOf, vaultOf } from './parse-login.ts';
import {
  DEFAULTS as defaults,
  parseDocumentText,
  shape,
  X509_FORMATS,
  type Place,
  type SecretRef,
} from '../schema/index.ts';

type Document = NonNullable<ReturnType<typeof agentDocument.read>>;
type FileDocument = Document['files'][number];
type VariableDocument = NonNullable<Document['env']>['variables'][number];
type Source = Pick<
  FileDocument,
  'secret' | 'optional' | 'template' | 'templateFile' | 'format' | 'jwtSvid'
>;

/**
 * Reads a document that was parsed from JSON or YAML. The result is deeply frozen.
 *
 * @throws VouchsafeError `ERR_CONFIG_INVALID` that lists every problem with its path.
 */
export function parseAgentConfig(
  document: unknown,
  environment: AgentEnvironment = {},
): AgentConfig {
  const problems: Problem[] = [];
  const place = new shape.Place('', problems);
  const raw = agentDocument.read(document, place);
  const config = raw === undefined ? undefined : build(raw, environment, place);
  if (config === undefined || problems.length > 0) {
    throw problemsError('ERR_CONFIG_INVALID', 'the agent configuration is not valid', problems);
  }
  return shape.deepFreeze(config);
}

/**
 * Reads a document as text: JSON, or else YAML. The YAML parser is loaded only if needed.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` when it is neither; else as {@link parseAgentConfig}.
 */
export async function parseAgentConfigText(
  source: string,
  environment: AgentEnvironment = {},
): Promise<AgentConfig> {
  return parseAgentConfig(await parseDocumentText(source), environment);
}

function build(raw: Document, environment: AgentEnvironment, place: Place): AgentConfig {
  const files = filesOf(raw);
  checkFiles(files, place);
  checkStartGate(raw, place);
  const needs = needsOf(raw, files);
  const vault =
    needs.vault === 'no' ? undefined : vaultOf(raw.vault, environment, place.at('vault'));
  if (needs.vault === 'yes' && vault === undefined) {
    place.at('vault').at('address').missing('is missing: set it, or VAULT_ADDR (BAO_ADDR)');
  }
  const auth = vault === undefined ? undefined : authOf(raw.auth);
  const logins = loginsOf(raw, { vault, auth }, place);
  checkLogins(files, logins, place);
  checkTls({ vault, auth }, place);
  for (const [index, login] of logins.entries()) checkTls(login, place.at('logins').at(index));
  const spiffe = spiffeOf(raw, environment, place);
  if (spiffe === undefined && (needs.svid || [{ auth }, ...logins].some(usesSvid))) {
    place.at('spiffe').at('socket').missing('is missing: set it, or SPIFFE_ENDPOINT_SOCKET');
  }
  return {
    spiffe,
    vault,
    auth,
    logins,
    grants: raw.grants?.map(grantOf),
    outputDirectory: raw.output.directory,
    files,
    env: envOf(raw),
    onChange: raw.onChange,
    onMissingVault: raw.onMissingVault,
    initDeadlineMs: raw.initDeadline,
    startGate: raw.startGate,
    revokeOnExit: raw.revokeOnExit,
    revokeGraceMs: raw.revokeGrace,
    revokeDelayMs: raw.revokeDelay,
    maxRenderBytes: raw.maxRenderBytes,
    stateDirectory: raw.stateDirectory,
    listen: raw.listen,
    terminationLog: raw.terminationLog,
    logLevel: raw.logLevel,
  };
}

/** The hook fails after some seconds, and the next try needs what this one has saved. */
function checkStartGate(
  { startGate, stateDirectory, onMissingVault }: Document,
  place: Place,
): void {
  if (startGate !== 'hook') return;
  if (stateDirectory === undefined) place.at('startGate').problem('hook requires stateDirectory');
  if (onMissingVault === 'wait')
    place
      .at('startGate')
      .problem('hook conflicts with onMissingVault wait, which requires a probe');
}

function filesOf(raw: Document): FileConfig[] {
  const variables = raw.env?.variables ?? [];
  return [
    ...raw.files.map((file) => fileOf(file, raw)),
    ...x509FilesOf(raw),
    ...variables.map((variable) => variableFileOf(variable, raw)),
  ];
}

function fileOf(file: FileDocument, raw: Document): FileConfig {
  const { name = '', path = name, mode = raw.output.mode, refresh, onChange } = file;
  const refreshMs = refresh ?? raw.refresh;
  const source = sourceOf(file);
  return {
    name,
    path,
    mode,
    source,
    refreshMs,
    onChange,
    ...(file.login !== undefined && { login: file.login }),
    ...(refresh !== undefined && { isRefreshSet: true }),
  };
}

/** Only the agent mounts the directory, and the kubelet reads as root. */
const VARIABLE_MODE = 0o400;

function variableFileOf(
  { name = '', secret, template, optional }: VariableDocument,
  raw: Document,
): FileConfig {
  return {
    name: `$${name}`, // no file can have it
    path: variablePath(name),
    variable: name,
    mode: VARIABLE_MODE,
    source: sourceOf({ ...NO_CONTENT, secret, template, optional }),
    refreshMs: raw.refresh,
    onChange: [],
  };
}

const NO_CONTENT = { templateFile: undefined, format: undefined, jwtSvid: undefined };

function envOf({ env }: Document): EnvConfig | undefined {
  if (env === undefined || env.variables.length === 0) return undefined;
  const { directory, onChange, containers } = env;
  return { directory, onChange, containers };
}

function sourceOf(file: Source): FileSource {
  const { template, templateFile, jwtSvid } = file;
  const secret = secretOf(file);
  const context = secret === undefined ? {} : { secret };
  if (jwtSvid !== undefined) return { kind: 'jwt-svid', audiences: jwtSvid };
  if (template !== undefined) return { kind: 'template', text: template, ...context };
  if (templateFile !== undefined) return { kind: 'template-file', path: templateFile, ...context };
  // Without a secret the shape has already reported the file, and the result is discarded.
  const ref = secret ?? { path: '' };
  const format = file.format ?? (ref.key === undefined ? 'json' : 'raw');
  return { kind: 'format', format, secret: ref };
}

function secretOf({ secret, optional = false }: Source): SecretRef | undefined {
  return secret === undefined || !optional ? secret : { ...secret, optional };
}

function x509FilesOf({ x509Svid, output }: Document): FileConfig[] {
  if (x509Svid === undefined || x509Svid === false) return [];
  const given = x509Svid === true ? undefined : x509Svid;
  const common = { refreshMs: defaults.REFRESH_MS, onChange: given?.onChange ?? [] };
  const { format = X509_FORMATS[0], password = defaults.KEYSTORE_PASSWORD } = given ?? {};
  return defaults.X509_FILES[format].map(({ name, part, path }) => ({
    name,
    path: given?.[`${part}File`] ?? path,
    mode: given?.[`${part}Mode`] ?? output.mode,
    source: { kind: 'x509-svid', part, ...(format === 'pkcs12' && { password }) },
    ...common,
  }));
}

/** Every file names a login that exists, and every login has a name of its own. */
function checkLogins(
  files: readonly FileConfig[],
  logins: readonly LoginConfig[],
  place: Place,
): void {
  const names = logins.map(({ name }) => name);
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  for (const name of twice) place.at('logins').problem(`the name "${name}" is used twice`);
  for (const { name, login } of files) {
    if (login === undefined || names.includes(login)) continue;
    place.at('files').problem(`"${name}" names the login "${login}", which does not exist`);
  }
}

/** Only TLS has client certificates. */
function checkTls({ vault, auth }: Pick<AgentConfig, 'vault' | 'auth'>, place: Place): void {
  if (auth === undefined || !presentsX509(auth) || vault?.address.startsWith('https:') !== false)
    return;
  const text = `${auth.method} requires an https address of Vault: the X.509-SVID is the client certificate`;
  place.at('auth').at('method').problem(text);
}

function usesSvid({ auth }: { readonly auth: AuthConfig | undefined }): boolean {
  return auth !== undefined && auth.tokenFile === undefined;
}

function checkFiles(files: readonly FileConfig[], place: Place): void {
  const at = place.at('files');
  const names = files.map((file) => file.name);
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  for (const name of twice) at.problem(`the name "${name}" is used twice`);
  for (const clash of clashingPaths(files.map((file) => file.path))) {
    at.problem(`the path "${clash.path}" ${describeClash(clash)}`);
  }
  if (files.length === 0)
    at.missing('nothing to deliver: set files, env.variables, or x509Svid: true');
}

/** What the files need. A template may use Vault and SVIDs, so it allows both and requires neither. */
function needsOf(
  raw: Document,
  files: readonly FileConfig[],
): { readonly vault: 'yes' | 'maybe' | 'no'; readonly svid: boolean } {
  const sources = files.map((file) => file.source);
  const reads = sources.some((source) => 'secret' in source);
  const configuresVault =
    raw.vault !== undefined || raw.auth !== undefined || raw.logins.length > 0;
  const renders = sources.some((source) => source.kind.startsWith('template'));
  return {
    vault: reads || configuresVault ? 'yes' : renders ? 'maybe' : 'no',
    svid: raw.spiffe !== undefined || sources.some((source) => source.kind.endsWith('-svid')),
  };
}
