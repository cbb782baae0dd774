/**
 * ACL policies: parsing, the built-in ones, and what a set of them allows.
 * @see https://developer.hashicorp.com/vault/docs/concepts/policies
 */
import { asList, asObject } from './fields.ts';
import { parseHcl } from './hcl.ts';
import { Refusal, type Json, type Operation } from './messages.ts';
import { fitsPattern } from './patterns.ts';

/** The rule of a policy for one path, which may end in `*` and have `+` for segments. */
export interface PolicyRule {
  readonly path: string;
  readonly capabilities: ReadonlySet<string>;
}

const CAPABILITIES = [
  'create',
  'read',
  'update',
  'patch',
  'delete',
  'list',
  'sudo',
  'deny',
  'subscribe',
  'recover',
];

/** The old spelling: `policy = "write"`. */
const POLICY_LEVELS: Readonly<Record<string, readonly string[]>> = {
  deny: ['deny'],
  read: ['read', 'list'],
  write: ['create', 'read', 'update', 'delete', 'list'],
  sudo: ['create', 'read', 'update', 'delete', 'list', 'sudo'],
};

/** The policy of every token without `no_default_policy`. */
export const DEFAULT_POLICY = `
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
path "sys/renew" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/wrapping/wrap" { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
`;

/**
 * Reads a policy in HCL or JSON.
 *
 * @throws Refusal 400 with the reason.
 */
export function parsePolicy(source: string): PolicyRule[] {
  try {
    return source.trimStart().startsWith('{') ? jsonRules(source) : hclRules(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unreadable';
    throw new Refusal(400, `failed to parse policy: ${reason}`);
  }
}

/** The capabilities on a path: those of the most specific matching path; `deny` leaves none. */
export function capabilitiesOn(
  rules: readonly PolicyRule[],
  path: string,
  operation?: Operation,
): ReadonlySet<string> {
  const exact = operation === 'list' ? [path, path.replace(/\/$/, '')] : [path];
  const fitting = rules.filter((rule) => exact.includes(rule.path) || fitsPattern(rule.path, path));
  const best = fitting.reduce<string | undefined>(
    (chosen, rule) =>
      chosen === undefined || moreSpecific(rule.path, chosen, exact) ? rule.path : chosen,
    undefined,
  );
  const granted = new Set(
    fitting.filter((rule) => rule.path === best).flatMap((rule) => [...rule.capabilities]),
  );
  return granted.has('deny') ? new Set() : granted;
}

function hclRules(source: string): PolicyRule[] {
  return parseHcl(source).flatMap((item) => {
    if (item.kind === 'attribute') {
      if (item.name === 'name') return [];
      throw new Error(`unknown key "${item.name}"`);
    }
    if (item.name !== 'path') throw new Error(`unknown key "${item.name}"`);
    const settings = Object.fromEntries(
      item.body.map((entry) => [entry.name, entry.kind === 'attribute' ? entry.value : {}]),
    );
    return [rule(item.label, settings)];
  });
}

function jsonRules(source: string): PolicyRule[] {
  const paths = asObject(asObject(JSON.parse(source))?.['path']) ?? {};
  return Object.entries(paths).map(([path, settings]) => rule(path, asObject(settings) ?? {}));
}

function rule(path: string, settings: Json): PolicyRule {
  const level = settings['policy'];
  const capabilities: unknown[] = [
    ...asList(settings['capabilities']),
    ...(typeof level === 'string' ? (POLICY_LEVELS[level] ?? [level]) : []),
  ];
  for (const name of capabilities) {
    if (typeof name !== 'string' || !CAPABILITIES.includes(name)) {
      throw new Error(`path "${path}": invalid capability ${JSON.stringify(name)}`);
    }
  }
  return { path: path.replace(/^\//, ''), capabilities: new Set(capabilities.map(String)) };
}

/** Vault's order of priority: exact, later first wildcard, no glob, fewer `+`, longer, larger. */
function moreSpecific(a: string, b: string, exact: readonly string[]): boolean {
  const rank = (path: string): (number | string)[] => {
    const wildcard = path.search(/\*$|(?<=^|\/)\+(?=\/|$)/);
    return [
      exact.includes(path) ? 1 : 0,
      wildcard < 0 ? Infinity : wildcard,
      path.endsWith('*') ? 0 : 1,
      -path.split('/').filter((segment) => segment === '+').length,
      path.length,
      path,
    ];
  };
  const [left, right] = [rank(a), rank(b)];
  const index = left.findIndex((value, at) => value !== right[at]);
  // Two different paths differ at the latest in their text; equal ones are not more specific.
  return index >= 0 && (left[index] ?? 0) > (right[index] ?? 0);
}
