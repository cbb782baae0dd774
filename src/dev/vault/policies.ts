/**
 * ACL policies: rules by path, which may end in `*`.
 *
 * @see https://developer.hashicorp.com/vault/docs/concepts/policies
 */
import { VaultError, type Operation } from './messages.ts';

interface Rule {
  readonly path: string;
  readonly capabilities: ReadonlySet<string>;
}

const RULE = /path\s+"([^"]+)"\s*\{\s*capabilities\s*=\s*\[([^\]]*)\]\s*\}/g;
const COMMENT = /#.*$/gm;

/** The policy of every token but the root token. */
const DEFAULT_POLICY = `
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }
`;

/** Policies by name. */
export class Policies {
  readonly #rules = new Map<string, readonly Rule[]>([['default', parse(DEFAULT_POLICY)]]);

  /** @throws VaultError 400 for a text with anything but rules. */
  write(name: string, text: string): void {
    this.#rules.set(name, parse(text));
  }

  /** Whether the most specific rule for a path grants an operation. */
  allow(names: readonly string[], operation: Operation, path: string): boolean {
    if (names.includes('root')) return true;
    const fitting = this.#rulesOf(names).filter((rule) => covers(rule.path, path));
    const isExact = (rule: Rule): boolean => rule.path === path;
    const best = fitting.sort(
      (a, b) => Number(isExact(b)) - Number(isExact(a)) || b.path.length - a.path.length,
    )[0]?.path;
    const granted = fitting
      .filter((rule) => rule.path === best)
      .flatMap(({ capabilities }) => [...capabilities]);
    if (granted.includes('deny')) return false;
    return granted.includes(operation) || (operation === 'update' && granted.includes('create'));
  }

  /** Whether any rule grants something below a mount. */
  reach(names: readonly string[], mountPath: string): boolean {
    if (names.includes('root')) return true;
    return this.#rulesOf(names).some(({ path, capabilities }) => {
      const prefix = path.replace(/\*$/, '');
      const isBelow = prefix.startsWith(mountPath) || mountPath.startsWith(prefix);
      return isBelow && !capabilities.has('deny');
    });
  }

  #rulesOf(names: readonly string[]): readonly Rule[] {
    return names.flatMap((name) => this.#rules.get(name) ?? []);
  }
}

function covers(rule: string, path: string): boolean {
  return rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule;
}

function parse(text: string): readonly Rule[] {
  const source = text.replace(COMMENT, '');
  if (source.replace(RULE, '').trim() !== '') {
    throw new VaultError(400, 'failed to parse policy: it has something other than rules by path');
  }
  return [...source.matchAll(RULE)].map(([, path = '', list = '']) => ({
    path,
    capabilities: new Set(list.match(/\w+/g)),
  }));
}
