/**
 * Federation with clouds: which JWT-SVID file is for which cloud, and the credential file of Google's libraries. The SDKs
 * exchange the token for temporary credentials themselves.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html
 * @see https://google.aip.dev/auth/4117
 */
import type { FileSettings, Setting, Settings } from './annotations.ts';
import type { CheckContext } from './check-context.ts';

/** Audience that Entra ID requires of federated tokens. */
const AZURE_AUDIENCE = 'api://AzureADTokenExchange';

/** Logical name of the credential file of Google's libraries, and its path below the mount. */
const GCP_CREDENTIALS = { name: 'gcp-credentials', path: 'gcp-credentials.json' } as const;

/** Settings of a file that decide its contents. */
const CONTENTS = [
  'secret',
  'template',
  'template-from',
  'format',
  'jwt-svid',
  'optional',
  'vault',
  'role',
  'refresh',
] as const satisfies readonly (keyof FileSettings)[];

/** The file that holds the token for Entra ID, if there is one. */
export function azureTokenFile(files: readonly FileSettings[]): FileSettings | undefined {
  return fileFor([AZURE_AUDIENCE], files);
}

/** The file that holds the token for AWS STS, if there is one. */
export function awsTokenFile(
  settings: Settings,
  files: readonly FileSettings[],
): FileSettings | undefined {
  return fileFor([settings['aws-audience'].value], files);
}

/** The file that Google's libraries read, if it is delivered. */
export function gcpCredentialFile(
  settings: Settings,
  files: readonly FileSettings[],
): FileSettings | undefined {
  if (gcpTokenFile(settings, files) === undefined) return undefined;
  return files.find(({ name }) => name === GCP_CREDENTIALS.name);
}

/** The path of a file below the mount. */
export function pathOf(file: FileSettings): string {
  return file.file?.value ?? file.name;
}

/**
 * Adds the credential file of Google's libraries where the settings request it. It holds no secret: it says where the token
 * is, and who exchanges it.
 */
export function withGcpCredentials(
  settings: Settings,
  files: readonly FileSettings[],
): readonly FileSettings[] {
  const token = gcpTokenFile(settings, files);
  if (token === undefined) return files;
  const { name, path } = GCP_CREDENTIALS;
  const own = files.find((file) => file.name === name);
  const { file = builtIn(path), 'file-mode': mode, 'on-change': onChange } = own ?? { name };
  const made: FileSettings = {
    name,
    file,
    ...(mode !== undefined && { 'file-mode': mode }),
    ...(onChange !== undefined && { 'on-change': onChange }),
    template: builtIn(gcpCredentials(settings, pathOf(token))),
  };
  const others = files.filter((one) => one !== own);
  return [...others, made].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Reports settings of a cloud that lack another one. `files` are those that the pod sets. */
export function checkClouds(context: CheckContext): void {
  checkAzure(context);
  checkAws(context);
  checkGcp(context);
}

function fileFor(
  audiences: readonly string[],
  files: readonly FileSettings[],
): FileSettings | undefined {
  return files.find((file) => file['jwt-svid']?.value.some((one) => audiences.includes(one)));
}

function gcpTokenFile(
  settings: Settings,
  files: readonly FileSettings[],
): FileSettings | undefined {
  return fileFor(gcpAudiences(settings), files);
}

/** The audiences of tokens that the provider accepts; Google allows its name with and without `https:`. */
function gcpAudiences(settings: Settings): readonly string[] {
  const provider = settings['gcp-workload-identity-provider'].value;
  if (provider === undefined) return [];
  const own = settings['gcp-audience'].value;
  return own === undefined ? [gcpResource(provider), `https:${gcpResource(provider)}`] : [own];
}

function gcpResource(provider: string): string {
  return `//iam.googleapis.com/${provider}`;
}

function gcpCredentials(settings: Settings, tokenPath: string): string {
  const account = settings['gcp-service-account'].value;
  const document = {
    type: 'external_account',
    audience: gcpResource(settings['gcp-workload-identity-provider'].value ?? ''),
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: 'https://sts.googleapis.com/v1/token',
    credential_source: { file: `${settings['mount-path'].value}/${tokenPath}` },
    ...(account !== undefined && {
      service_account_impersonation_url: `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${account}:generateAccessToken`,
    }),
  };
  // The text is a template; a path may contain what would begin an expression.
  return JSON.stringify(document, undefined, 2).replaceAll('{{', '{\\u007b');
}

function builtIn<T>(value: T): Setting<T> {
  return { value, source: 'built in', text: undefined };
}

function checkAzure({ settings, files, prefix, report }: CheckContext): void {
  const [client, tenant] = [settings['azure-client-id'], settings['azure-tenant-id']];
  if (client.source === 'pod' && tenant.value === undefined) {
    report('azure-client-id', `requires ${prefix}/azure-tenant-id`);
  }
  if (tenant.source === 'pod' && client.value === undefined) {
    report('azure-tenant-id', `requires ${prefix}/azure-client-id`);
  }
  if (client.source === 'pod' && azureTokenFile(files) === undefined) {
    report(
      'azure-client-id',
      `requires a ${prefix}/jwt-svid-<name> with audience ${AZURE_AUDIENCE}`,
    );
  }
}

function checkAws({ settings, files, prefix, report }: CheckContext): void {
  const { source, value: role } = settings['aws-role-arn'];
  if (source === 'pod' && awsTokenFile(settings, files) === undefined) {
    const audience = settings['aws-audience'].value;
    report('aws-role-arn', `requires a ${prefix}/jwt-svid-<name> with audience ${audience}`);
  }
  if (role !== undefined) return;
  for (const name of ['aws-region', 'aws-role-session-name', 'aws-audience'] as const) {
    if (settings[name].source === 'pod') report(name, `requires ${prefix}/aws-role-arn`);
  }
}

function checkGcp(context: CheckContext): void {
  const { settings, files, prefix, report } = context;
  const provider = settings['gcp-workload-identity-provider'];
  const isDelivered = gcpTokenFile(settings, files) !== undefined;
  if (provider.source === 'pod' && !isDelivered) {
    const [audience = ''] = gcpAudiences(settings);
    report(
      'gcp-workload-identity-provider',
      `requires a ${prefix}/jwt-svid-<name> with audience ${audience}`,
    );
  }
  if (provider.value === undefined) {
    for (const name of ['gcp-service-account', 'gcp-audience'] as const) {
      if (settings[name].source !== 'pod') continue;
      report(name, `requires ${prefix}/gcp-workload-identity-provider`);
    }
  }
  if (isDelivered) checkGcpContents(context);
}

function checkGcpContents({ files, prefix, report }: CheckContext): void {
  const { name } = GCP_CREDENTIALS;
  const own = files.find((file) => file.name === name);
  for (const setting of CONTENTS) {
    if (own?.[setting] === undefined) continue;
    report(
      `${setting}-${name}`,
      `conflicts with ${prefix}/gcp-workload-identity-provider, which delivers "${name}"`,
    );
  }
}
