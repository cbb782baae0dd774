/**
 * Paths and responses of KV mounts.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
 */
import type { VouchsafeError } from '../core/index.ts';
import { numberAt, objectAt, stringAt, type JsonObject } from './json.ts';
import type { Mount } from './mounts.ts';
import { errorQuotingVault, errorForResponse, type ErrorResponse } from './error-response.ts';
import { isVersioned } from './versioned.ts';

/** Inserts `data/` or `metadata/` after the mount, unless the path has such a segment already. */
export function kv2Path(path: string, prefix: string, part: 'data' | 'metadata'): string {
  const rest = path.slice(prefix.length);
  if (part === 'metadata' && /^data(\/|$)/.test(rest)) return `${prefix}meta${rest}`;
  const explicit = part === 'data' ? /^(data|metadata|subkeys)\// : /^metadata(\/|$)/;
  if (explicit.test(rest)) return path;
  return rest === '' ? `${prefix}${part}` : `${prefix}${part}/${rest}`;
}

/** The mount that Vault names for a path; undefined if the response does not match the path. */
export function mountOf(path: string, body: JsonObject | undefined): Mount | undefined {
  const data = objectAt(body, 'data');
  const prefix = stringAt(data, 'path');
  if (prefix === '' || !`${path}/`.startsWith(prefix)) return undefined;
  const type = stringAt(data, 'type');
  // Its keys are the user's, too.
  if (type === 'cubbyhole') return { prefix, kind: 'kv1' };
  if (type !== 'kv' && type !== 'generic') return { prefix, kind: 'other' };
  return { prefix, kind: stringAt(objectAt(data, 'options'), 'version') === '2' ? 'kv2' : 'kv1' };
}

/** For a deleted version KV v2 responds with 404, but includes its metadata. */
export function readError(path: string): (answer: ErrorResponse) => VouchsafeError {
  return (answer) => {
    if (answer.status === 405 && answer.body !== undefined) {
      const text = `${path} cannot be read. If it is written, as endpoints are that mint tokens, set the parameters in a template: {{secret "${path}" name="value"}}`;
      return errorQuotingVault({ ...answer, path }, 'ERR_VAULT_UNSUPPORTED', text);
    }
    // A denial shows the path as policies write it; a missing secret is shown as the user wrote it.
    if (answer.status !== 404) return errorForResponse(answer);
    const outer = answer.body?.['data'];
    if (!isVersioned(outer)) return errorForResponse({ ...answer, path });
    const metadata = objectAt(outer, 'metadata');
    const end = metadata['destroyed'] === true ? 'destroyed' : 'deleted';
    const version = String(numberAt(metadata, 'version'));
    const text = `version ${version} of the secret at ${path} was ${end}; write a new version or set another one`;
    const details = { version, absent: true };
    return errorQuotingVault({ ...answer, path }, 'ERR_VAULT_NOT_FOUND', text, details);
  };
}
