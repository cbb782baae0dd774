/**
 * The environment variables that SDKs of clouds read for the exchange of a federated token.
 *
 * @see https://learn.microsoft.com/azure/aks/workload-identity-overview
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
 * @see https://cloud.google.com/docs/authentication/application-default-credentials
 */
import {
  awsTokenFile,
  azureTokenFile,
  gcpCredentialFile,
  pathOf,
  type FileSettings,
  type ResolvedSettings,
} from '../config/annotations/index.ts';

/** Variables by name. */
type Variables = Readonly<Record<string, string>>;

/** Variables for the containers that see the files; empty if the pod does not request them. */
export function cloudVariables(resolved: ResolvedSettings): Variables {
  return { ...azureVariables(resolved), ...awsVariables(resolved), ...gcpVariables(resolved) };
}

function azureVariables(resolved: ResolvedSettings): Variables {
  const { settings, files } = resolved;
  const file = azureTokenFile(files);
  const client = settings['azure-client-id'].value;
  const tenant = settings['azure-tenant-id'].value;
  if (file === undefined || client === undefined || tenant === undefined) return {};
  return {
    AZURE_CLIENT_ID: client,
    AZURE_TENANT_ID: tenant,
    // The SDKs append the tenant to it.
    AZURE_AUTHORITY_HOST: `${settings['azure-authority-host'].value}/`,
    AZURE_FEDERATED_TOKEN_FILE: pathInContainer(file, resolved),
  };
}

function awsVariables(resolved: ResolvedSettings): Variables {
  const { settings, files } = resolved;
  const file = awsTokenFile(settings, files);
  const role = settings['aws-role-arn'].value;
  if (file === undefined || role === undefined) return {};
  const region = settings['aws-region'].value;
  const session = settings['aws-role-session-name'].value;
  return {
    AWS_ROLE_ARN: role,
    AWS_WEB_IDENTITY_TOKEN_FILE: pathInContainer(file, resolved),
    // Some SDKs, such as that for Python, read only the second one.
    ...(region !== undefined && { AWS_REGION: region, AWS_DEFAULT_REGION: region }),
    ...(session !== undefined && { AWS_ROLE_SESSION_NAME: session }),
  };
}

function gcpVariables(resolved: ResolvedSettings): Variables {
  const file = gcpCredentialFile(resolved.settings, resolved.files);
  if (file === undefined) return {};
  return { GOOGLE_APPLICATION_CREDENTIALS: pathInContainer(file, resolved) };
}

function pathInContainer(file: FileSettings, { settings }: ResolvedSettings): string {
  return `${settings['mount-path'].value}/${pathOf(file)}`;
}
