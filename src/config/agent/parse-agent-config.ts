/**
 * Raw AgentConfig document -> validated, defaulted, frozen {@link AgentConfig}.
 */
import {
  clashingPaths,
  describeClash,
  problemsError,
  type Grant,
  type Problem,
} from '../../core/index.ts';
import type {
  AgentConfig,
  AuthConfig,
  FileConfig,
  FileSource,
  SpiffeConfig,
  VaultConfig,
} from './agent-config.ts';
import { agentDocument } from './agent-document.ts';
import type { AgentEnvironment } from './agent-environment.ts';
import {
  DEFAULTS as defaults,
  grammar,
  parseDocumentText,
  shape,
  vaultProxyUrl,
  type Grammar,
  type Place,
  type SecretRef,
} from '../schema/index.ts';

type Document = NonNullable<ReturnType<typeof agentDocument.read>>;
type FileDocument = Document['files'][number];
type GrantDocument = NonNullable<Document['grants']>[number];
type VaultDocument = NonNullable<Document['vault']>;

const anyText = grammar.text('a text', 4096);

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
  const files = [...raw.files.map((file) => fileOf(file, raw)), ...x509FilesOf(raw)];
  checkFiles(files, place);
  const needs = needsOf(raw, files);
  const vault = needs.vault === 'no' ? undefined : vaultOf(raw, environment, place);
  if (needs.vault === 'yes' && vault === undefined) {
    place.at('vault').at('address').missing('is missing: set it, or VAULT_ADDR (BAO_ADDR)');
  }
  const auth = vault === undefined ? undefined : authOf(raw);
  const spiffe = spiffeOf(raw, environment, place);
  if (
    spiffe === undefined &&
    (needs.svid || (auth !== undefined && auth.tokenFile === undefined))
  ) {
    place.at('spiffe').at('socket').missing('is missing: set it, or SPIFFE_ENDPOINT_SOCKET');
  }
  return {
    spiffe,
    vault,
    auth,
    grants: raw.grants?.map(grantOf),
    outputDirectory: raw.output.directory,
    files,
    onChange: raw.onChange,
    onMissingVault: raw.onMissingVault,
    initDeadlineMs: raw.initDeadline,
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

function fileOf(file: FileDocument, raw: Document): FileConfig {
  const { name = '', path = name, mode = raw.output.mode, refresh, onChange } = file;
  const refreshMs = refresh ?? raw.refresh;
  const common = { name, path, mode, source: sourceOf(file), refreshMs, onChange };
  return refresh === undefined ? common : { ...common, isRefreshSet: true };
}

function sourceOf(file: FileDocument): FileSource {
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

function secretOf({ secret, optional = false }: FileDocument): SecretRef | undefined {
  return secret === undefined || !optional ? secret : { ...secret, optional };
}

function grantOf({ policy = '', ...lists }: GrantDocument): Grant {
  return { policy, ...lists }; // a missing name was reported, and the result is discarded
}

function x509FilesOf({ x509Svid, output }: Document): FileConfig[] {
  if (x509Svid === undefined || x509Svid === false) return [];
  const given = x509Svid === true ? undefined : x509Svid;
  const common = { refreshMs: defaults.REFRESH_MS, onChange: given?.onChange ?? [] };
  return defaults.X509_FILES.map(({ name, part, path }) => ({
    name,
    path: given?.[`${part}File`] ?? path,
    mode: given?.[`${part}Mode`] ?? output.mode,
    source: { kind: 'x509-svid', part },
    ...common,
  }));
}

function checkFiles(files: readonly FileConfig[], place: Place): void {
  const at = place.at('files');
  const names = files.map((file) => file.name);
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index));
  for (const name of twice) at.problem(`the name "${name}" is used twice`);
  for (const clash of clashingPaths(files.map((file) => file.path))) {
    at.problem(`the path "${clash.path}" ${describeClash(clash)}`);
  }
  if (files.length === 0) at.missing('nothing to deliver: set files, or x509Svid: true');
}

/** What the files need. A template may use Vault and SVIDs, so it allows both and requires neither. */
function needsOf(
  raw: Document,
  files: readonly FileConfig[],
): { readonly vault: 'yes' | 'maybe' | 'no'; readonly svid: boolean } {
  const sources = files.map((file) => file.source);
  const reads = sources.some((source) => 'secret' in source);
  const configuresVault = raw.vault !== undefined || raw.auth !== undefined;
  const renders = sources.some((source) => source.kind.startsWith('template'));
  return {
    vault: reads || configuresVault ? 'yes' : renders ? 'maybe' : 'no',
    svid: raw.spiffe !== undefined || sources.some((source) => source.kind.endsWith('-svid')),
  };
}

function vaultOf(
  raw: Document,
  environment: AgentEnvironment,
  place: Place,
): VaultConfig | undefined {
  const at = place.at('vault');
  const given: Partial<VaultDocument> = raw.vault ?? {};
  const { caPem, tlsServerName, redirectHosts = [], timeout = defaults.VAULT_TIMEOUT_MS } = given;
  const {
    address = fromEnvironment(environment.vaultAddress, grammar.httpOrigin, at.at('address')),
    namespace = fromEnvironment(environment.vaultNamespace, anyText, at.at('namespace')),
    caFile = caPem === undefined
      ? fromEnvironment(environment.vaultCaFile, anyText, at.at('caFile'))
      : undefined,
    proxy = fromEnvironment(environment.vaultProxy, vaultProxyUrl, at.at('proxy')),
  } = given;
  if (address === undefined) return undefined;
  return {
    address,
    namespace,
    caFile,
    caPem,
    tlsServerName,
    redirectHosts,
    proxy,
    timeoutMs: timeout,
  };
}

function authOf(raw: Document): AuthConfig {
  const given: Partial<NonNullable<Document['auth']>> = raw.auth ?? {};
  const { method = defaults.AUTH_METHOD, audience = defaults.AUDIENCE, mount = method } = given;
  const ofPod = method === 'kubernetes' ? defaults.SERVICE_ACCOUNT_TOKEN_FILE : undefined;
  return { method, mount, role: given.role, audience, tokenFile: given.tokenFile ?? ofPod };
}

function spiffeOf(
  raw: Document,
  environment: AgentEnvironment,
  place: Place,
): SpiffeConfig | undefined {
  const at = place.at('spiffe').at('socket');
  const given: Partial<NonNullable<Document['spiffe']>> = raw.spiffe ?? {};
  const { spiffeId, hint } = given;
  const { socket = fromEnvironment(environment.spiffeEndpointSocket, anyText, at) } = given;
  return socket === undefined ? undefined : { socket, spiffeId, hint };
}

/** Values from the environment follow the rules of the document; an empty one is treated as unset. */
function fromEnvironment<T>(
  value: string | undefined,
  syntax: Grammar<T>,
  place: Place,
): T | undefined {
  if (value === undefined || value === '') return undefined;
  const result = syntax.parse(value);
  if ('value' in result) return result.value;
  place.problem(`from the environment: ${result.problem}`);
  return undefined;
}
