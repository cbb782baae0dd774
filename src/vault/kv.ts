/**
 * What KV mounts look like from outside.
 *
 * @see https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
 */
import type { VouchsafeError } from '../core/index.ts';
import { numberAt, objectAt, stringAt, type JsonObject } from './json.ts';
import type { Mount } from './mounts.ts';
import { refusal, refusalOf, type RefusedAnswer } from './refusal.ts';
import { isVersioned } from './versioned.ts';

/** Puts `data/` or `metadata/` after the mount, unless the user has written such a part. */
export function kv2Path(path: string, prefix: string, part: 'data' | 'metadata'): string {
  const rest = path.slice(prefix.length);
  if (part === 'metadata' && /^data(\/|$)/.test(rest)) return `${prefix}meta${rest}`;
  const explicit = part === 'data' ? /^(data|metadata|subkeys)\// : /^metadata(\/|$)/;
  if (explicit.test(rest)) return path;
  return rest === '' ? `${prefix}${part}` : `${prefix}${part}/${rest}`;
}

/** The mount that Vault names for a path; undefined where its answer does not fit the path. */
export function mountOf(path: string, body: JsonObject | undefined): Mount | undefined {
  const data = objectAt(body, 'data');
  const prefix = stringAt(data, 'path');
  if (prefix === '' || !`${path}/`.startsWith(prefix)) return undefined;
  const type = stringAt(data, 'type');
  if (type !== 'kv' && type !== 'generic') return { prefix, kind: 'other' };
  return { prefix, kind: stringAt(objectAt(data, 'options'), 'version') === '2' ? 'kv2' : 'kv1' };
}

/** KV v2 answers 404 for a deleted version, but with the metadata of that version. */
export function readRefusal(path: string): (answer: RefusedAnswer) => VouchsafeError {
  return (answer) => {
    // A denial names the path as policies do; what is not there is named as the user wrote it.
    if (answer.status !== 404) return refusalOf(answer);
    const outer = answer.body?.['data'];
    if (!isVersioned(outer)) return refusalOf({ ...answer, path });
    const metadata = objectAt(outer, 'metadata');
    const end = metadata['destroyed'] === true ? 'destroyed' : 'deleted';
    const version = String(numberAt(metadata, 'version'));
    const text = `version ${version} of the secret at ${path} was ${end}; write a new one or name another version`;
    return refusal({ ...answer, path }, 'ERR_VAULT_NOT_FOUND', text, { version });
  };
}
