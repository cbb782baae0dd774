/**
 * The environment variables that Azure SDKs read for the exchange of a federated token.
 *
 * @see https://learn.microsoft.com/azure/aks/workload-identity-overview
 */
import { azureTokenFile, type ResolvedSettings } from '../config/annotations/index.ts';
import { pathOf } from './build-document.ts';

/** Variables for the containers that see the files; empty if the pod does not request them. */
export function azureVariables({ settings, files }: ResolvedSettings): Record<string, string> {
  const file = azureTokenFile(files);
  const client = settings['azure-client-id'].value;
  const tenant = settings['azure-tenant-id'].value;
  if (file === undefined || client === undefined || tenant === undefined) return {};
  return {
    AZURE_CLIENT_ID: client,
    AZURE_TENANT_ID: tenant,
    // The SDKs append the tenant to it.
    AZURE_AUTHORITY_HOST: `${settings['azure-authority-host'].value}/`,
    AZURE_FEDERATED_TOKEN_FILE: `${settings['mount-path'].value}/${pathOf(file)}`,
  };
}
