/**
 * Determines which secrets a pod's files need, by rendering them with values that have every key.
 * The embedded Vault is then filled with exactly those.
 */
import {
  dependencyKey,
  isOptional,
  isVaultDependency,
  toVouchsafeError,
  type VaultDependency,
} from '../../core/index.ts';
import type { FileConfig } from '../../config/agent/index.ts';
import type { SecretRef } from '../../config/schema/index.ts';
import { parseTemplate, renderTemplate, type Template } from '../../template/index.ts';

/** A Vault path and the keys that the files use. */
export interface Need {
  /** Optional if every use of it is. */
  readonly dependency: VaultDependency;
  readonly keys: ReadonlySet<string>;
}

/** The secrets that the files need. `readTemplate` returns the text of a mounted template. */
export async function needsOf(
  files: readonly FileConfig[],
  readTemplate: (path: string) => Promise<string>,
): Promise<readonly Need[]> {
  const needs = new Map<string, { dependency: VaultDependency; keys: Set<string> }>();
  const keysOf = (dependency: VaultDependency): Set<string> => {
    const key = dependencyKey(dependency);
    const known = needs.get(key);
    const keys = known?.keys ?? new Set();
    const isRequired = known !== undefined && !isOptional(known.dependency);
    needs.set(key, { dependency: isRequired ? known.dependency : dependency, keys });
    return keys;
  };
  for (const { name, source } of files) {
    const secret = 'secret' in source ? source.secret : undefined;
    if (secret !== undefined) addRef(secret, keysOf);
    if (source.kind === 'template') renderSample(parseTemplate(source.text, name), secret, keysOf);
    if (source.kind === 'template-file') {
      renderSample(parseTemplate(await readTemplate(source.path), name), secret, keysOf);
    }
  }
  return [...needs.values()];
}

type KeysOf = (dependency: VaultDependency) => Set<string>;

function addRef(secret: SecretRef, keysOf: KeysOf): void {
  const keys = keysOf(dependencyOf(secret));
  if (secret.key !== undefined) keys.add(secret.key);
}

function dependencyOf({ path, params, optional }: SecretRef): VaultDependency {
  if (params !== undefined) return { kind: 'write', path, params };
  return { kind: 'read', path, ...(optional && { optional }) };
}

function renderSample(template: Template, secret: SecretRef | undefined, keysOf: KeysOf): void {
  const context = secret === undefined ? undefined : { dependency: dependencyOf(secret) };
  try {
    renderTemplate(template, {
      lookup(dependency) {
        if (!isVaultDependency(dependency)) return { value: 'sample' };
        const keys = keysOf(dependency);
        return { value: dependency.kind === 'list' ? ['sample'] : everyKey(keys) };
      },
      ...(context === undefined ? {} : { context }),
    });
  } catch (error) {
    // A template may fail on the sample values; its dependencies until then are known.
    if (toVouchsafeError(error).code === 'ERR_BUG') throw error;
  }
}

/** An object that has every key and records which keys are read. */
function everyKey(keys: Set<string>): object {
  const read = (key: string | symbol): string | undefined => {
    if (typeof key === 'symbol') return undefined;
    keys.add(key);
    return 'sample';
  };
  return new Proxy<Record<string, unknown>>(
    {},
    {
      has: (_target, key) => typeof key === 'string',
      get: (_target, key) => read(key),
      getOwnPropertyDescriptor: (_target, key) =>
        typeof key === 'string'
          ? { value: read(key), configurable: true, enumerable: true, writable: true }
          : undefined,
    },
  );
}
