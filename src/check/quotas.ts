/**
 * Finds quotas and limit ranges because of which the API server rejects pods with the agent.
 *
 * @see https://kubernetes.io/docs/concepts/policy/resource-quotas/
 * @see https://kubernetes.io/docs/concepts/policy/limit-range/
 */
import { usualResources } from '../admission/index.ts';
import type { Installation } from '../config/installation/index.ts';
import { fieldsOf, quantityOf } from '../core/index.ts';
import { itemsOf, type ApiObject } from '../kubernetes/index.ts';
import { RESOURCE } from './cluster.ts';
import { fieldAt, textAt, type Context } from './context.ts';
import { quoted, type Result } from './finding.ts';

/** Requests and limits of the agent's container, after a LimitRange has filled in what is missing; undefined for none. */
interface Amounts {
  readonly requests: Readonly<Record<string, number | undefined>>;
  readonly limits: Readonly<Record<string, number | undefined>>;
}

/** Resources that a quota requires every container to set. Others are only counted. */
const REQUIRED = {
  cpu: ['requests', 'cpu'],
  memory: ['requests', 'memory'],
  'requests.cpu': ['requests', 'cpu'],
  'requests.memory': ['requests', 'memory'],
  'limits.cpu': ['limits', 'cpu'],
  'limits.memory': ['limits', 'memory'],
} as const;

const RESOURCES = ['cpu', 'memory', 'ephemeral-storage'] as const;

/** Most namespaces that are named. */
const MAX_NAMED = 10;

/** Compares the agent's resources with the quotas and limit ranges of all namespaces, or of the one that is checked. */
export async function checkQuotas(context: Context, installation: Installation): Promise<Result> {
  const { cluster, namespace } = context;
  const where = { namespace };
  const quotas = await cluster.list(RESOURCE.quotas, where);
  const ranges = await cluster.list(RESOURCE.limitRanges, where);
  const limited = byNamespace([...quotas, ...ranges]);
  for (const excluded of installation.webhook.excludedNamespaces) limited.delete(excluded);
  const annotations = limited.size === 0 ? NO_ANNOTATIONS : await annotationsOf(context);
  const found = [...limited.keys()].flatMap((name): string[] => {
    const own = usualResources(installation, annotations.get(name));
    if (own === undefined) return [];
    const items = (byNamespace(ranges).get(name) ?? []).flatMap(containerItems);
    const amounts = withDefaults(own, items);
    const reasons = [
      ...(byNamespace(quotas).get(name) ?? []).flatMap((quota) => quotaProblems(quota, amounts)),
      ...items.flatMap((item) => rangeProblems(item, amounts)),
    ];
    return reasons.length === 0 ? [] : [`${quoted(name)}: ${reasons.join(', ')}`];
  });
  if (found.length === 0) {
    const message = 'the agent meets the resource quotas and limit ranges of the namespaces';
    return { status: 'ok', message };
  }
  const named = found.slice(0, MAX_NAMED).join('; ');
  const more = found.length > MAX_NAMED ? `; and ${found.length - MAX_NAMED} more namespaces` : '';
  const prefix = installation.annotationPrefix;
  return {
    status: 'warning',
    message: `the API server rejects pods with the agent in namespaces whose quota or limit range it does not meet: ${named}${more}`,
    remedy: `annotate the Namespace, for example ${prefix}/cpu: 10m/100m, or set a default in the values (defaults.cpu) or in a LimitRange`,
  };
}

function byNamespace(objects: readonly ApiObject[]): Map<string, readonly ApiObject[]> {
  const found = new Map<string, ApiObject[]>();
  for (const object of objects) {
    const name = textAt(object, 'metadata', 'namespace');
    const known = found.get(name);
    if (known === undefined) found.set(name, [object]);
    else known.push(object);
  }
  return found;
}

type AnnotationsByNamespace = ReadonlyMap<string, Readonly<Record<string, string>>>;

const NO_ANNOTATIONS: AnnotationsByNamespace = new Map();

async function annotationsOf({ cluster, namespace }: Context): Promise<AnnotationsByNamespace> {
  const one = namespace === undefined ? [] : [await cluster.get(RESOURCE.namespaces, namespace)];
  const all = namespace === undefined ? await cluster.list(RESOURCE.namespaces) : one;
  return new Map(
    all.flatMap((object) =>
      object === undefined
        ? []
        : [[object.metadata.name ?? '', object.metadata.annotations ?? {}] as const],
    ),
  );
}

type Item = Readonly<Record<string, unknown>>;

function containerItems(range: ApiObject): readonly Item[] {
  return itemsOf(fieldAt(range, 'spec', 'limits'))
    .map(fieldsOf)
    .filter(({ type }) => type === 'Container');
}

function withDefaults(
  own: NonNullable<ReturnType<typeof usualResources>>,
  items: readonly Item[],
): Amounts {
  const amount = (field: string, name: string): number | undefined =>
    items.map((item) => quantityOf(fieldAt(item, field, name))).find((one) => one !== undefined);
  const limits = RESOURCES.map((name) => {
    // A maximum without a default is the default, too.
    const filled = amount('default', name) ?? amount('max', name);
    return [name, quantityOf(own.limits[name]) ?? filled] as const;
  });
  const known = Object.fromEntries(limits);
  const requests = RESOURCES.map((name) => {
    const filled = amount('defaultRequest', name) ?? amount('default', name) ?? known[name];
    return [name, quantityOf(own.requests[name]) ?? filled] as const;
  });
  return { limits: known, requests: Object.fromEntries(requests) };
}

/** What a quota requires and the container does not have. */
function quotaProblems(quota: ApiObject, amounts: Amounts): readonly string[] {
  const scopes = itemsOf(fieldAt(quota, 'spec', 'scopes'));
  if (scopes.includes('BestEffort')) return []; // the agent has requests
  const hard = fieldsOf(fieldAt(quota, 'spec', 'hard'));
  return Object.entries(REQUIRED).flatMap(([name, [list, resource]]) =>
    Object.hasOwn(hard, name) && amounts[list][resource] === undefined
      ? [`ResourceQuota ${quoted(textAt(quota, 'metadata', 'name'))} requires ${name}`]
      : [],
  );
}

/** The bounds of a limit range that the container does not keep. */
function rangeProblems(item: Item, { requests, limits }: Amounts): readonly string[] {
  return RESOURCES.flatMap((name) => {
    const problem = rangeProblem(item, name, { request: requests[name], limit: limits[name] });
    return problem === undefined ? [] : [`LimitRange: ${problem}`];
  });
}

function rangeProblem(
  item: Item,
  name: (typeof RESOURCES)[number],
  {
    request = 0,
    limit,
  }: { readonly request: number | undefined; readonly limit: number | undefined },
): string | undefined {
  const bound = (field: string): number => quantityOf(fieldAt(item, field, name)) ?? NaN; // exceeds nothing
  const text = (field: string): string => quoted(textAt(item, field, name));
  if (request < bound('min')) {
    return `at least ${text('min')} of ${name}, and the agent requests less`;
  }
  if ((limit ?? request) > bound('max')) {
    return `at most ${text('max')} of ${name}, and the agent's limit is higher`;
  }
  if (limit === undefined || request === 0) return undefined;
  if (request > limit) return `the default limit of ${name} is less than the agent requests`;
  return limit > request * bound('maxLimitRequestRatio')
    ? `limit and request of ${name} differ by more than its ratio`
    : undefined;
}
