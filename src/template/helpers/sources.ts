/**
 * Helpers that request Vault secrets, certificates and SVIDs.
 */
import { normalizeVaultPath, splitSecretRef, unescapePath } from '../../core/index.ts';
import { valueFault } from '../fault.ts';
import { source, type Helper } from '../helper.ts';
import { writeParams } from '../write-params.ts';

export const SOURCES: readonly Helper[] = [
  source({
    name: 'secret',
    usage: 'secret "path" [key=value ...]',
    description:
      'The data of a Vault secret, one value of it with `path#key`, or the answer to a write if there are parameters. `path?version=2` reads that version of KV v2. In a path, `\\#` is a `#`.',
    args: [1, 1],
    hash: 'any',
    request: (call) => {
      const [path, key] = splitKey(call.nonEmpty(0));
      const dependency =
        call.hash.size === 0
          ? ({ kind: 'read', path: vaultPath(path) } as const)
          : ({ kind: 'write', path: vaultPath(path), params: writeParams(call) } as const);
      return { dependency, key };
    },
  }),
  source({
    name: 'optionalSecret',
    usage: 'optionalSecret "path"',
    description:
      'As `secret`, for a secret that may be absent: null if there is no secret at the path, its version was deleted, or it has no such `#key`. For `with`, `if`, `default`.',
    args: [1, 1],
    mayBeAbsent: true,
    request: (call) => {
      const [path, key] = splitKey(call.nonEmpty(0));
      return { dependency: { kind: 'read', path: vaultPath(path), optional: true }, key };
    },
  }),
  source({
    name: 'secrets',
    usage: 'secrets "path"',
    description: 'The names below a Vault path, as a list.',
    args: [1, 1],
    request: (call) => ({
      dependency: { kind: 'list', path: vaultPath(unescapePath(call.nonEmpty(0))) },
    }),
  }),
  source({
    name: 'pki',
    usage: 'pki "path" common_name="…" [key=value ...]',
    description:
      'A certificate issued by a PKI mount and kept until its renewal time, with `certificate`, `private_key`, `ca_chain` and more.',
    args: [1, 1],
    hash: 'any',
    request: (call) => {
      const [path, key] = splitKey(call.nonEmpty(0));
      return { dependency: { kind: 'pki', path: vaultPath(path), params: writeParams(call) }, key };
    },
  }),
  source({
    name: 'jwtSvid',
    usage: 'jwtSvid "audience" ["audience" ...]',
    description: 'A JWT-SVID of the workload for these audiences.',
    args: [1, 20],
    request: (call) => {
      const audiences = call.args.map((_, index) => call.nonEmpty(index));
      return { dependency: { kind: 'jwt-svid', audiences: [...new Set(audiences)] } };
    },
  }),
  source({
    name: 'spiffeId',
    usage: 'spiffeId',
    description: 'The SPIFFE ID of the workload.',
    args: [0, 0],
    request: () => ({ dependency: { kind: 'spiffe-id' } }),
  }),
];

/** `kvv2/app#password`; in a path `#` is written `\#`. */
function splitKey(text: string): [path: string, key: string | undefined] {
  const { path, key } = splitSecretRef(text);
  if (key === '') throw valueFault('the key after # is missing');
  return [path, key];
}

function vaultPath(text: string): string {
  const path = normalizeVaultPath(text);
  if (path !== undefined) return path;
  throw valueFault(
    'argument 1 is not a valid Vault path: it is empty, too long, or contains . or ..',
  );
}
