/**
 * A list of the nodes whose kubelet does not support environment variables from files. Nodes change all the time, so they are
 * listed from time to time and not watched; only old ones are kept, of which a cluster has few.
 */
import type { NodeFacts, NodesWithoutEnvFiles } from '../contracts/index.ts';
import {
  ENV_FILES_MINOR,
  fieldsOf,
  isBefore,
  NO_LOGGER,
  toVouchsafeError,
  type Clock,
  type Logger,
  type Random,
} from '../core/index.ts';
import { createBackoff } from '../async/index.ts';
import { itemsOf, readObject, type KubernetesApi } from './api.ts';

const COLLECTION = '/api/v1/nodes';
const PAGE = 500;
/** How often the nodes are listed. */
const INTERVAL_MS = 10 * 60_000;
/** How long a list is used while newer ones fail. */
const STALE_MS = 60 * 60_000;
/** Waits after a failure: 1 s, growing to a minute. */
const BACKOFF = { minMs: 1000, maxMs: 60_000 } as const;

export interface OldNodesOptions {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
}

/** The nodes without variables from files. */
export interface OldNodes {
  /** Those of the last list; `unknown` before the first one, and if it is older than an hour. */
  readonly current: () => NodesWithoutEnvFiles;
  /** Lists the nodes every ten minutes until `signal` aborts. Failures are logged once and retried. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

/** Keeps the list. */
export function listOldNodes(options: OldNodesOptions): OldNodes {
  const { api, clock, random, logger = NO_LOGGER } = options;
  let nodes: readonly NodeFacts[] = [];
  let listedMs = -Infinity;
  let isFailing = false;

  async function attempt(signal: AbortSignal): Promise<boolean> {
    try {
      nodes = await fetchOldNodes(api, signal);
      listedMs = clock.monotonicMs();
      if (isFailing) logger.info('nodes are listed again');
      isFailing = false;
      return true;
    } catch (caught) {
      signal.throwIfAborted();
      if (!isFailing) logger.warn('nodes cannot be listed', { error: toVouchsafeError(caught) });
      isFailing = true;
      return false;
    }
  }

  return {
    current: () => (clock.monotonicMs() - listedMs > STALE_MS ? 'unknown' : nodes),
    async run(signal) {
      const backoff = createBackoff({ ...BACKOFF, random });
      for (;;) {
        const isListed = await attempt(signal);
        if (isListed) backoff.reset();
        await clock.sleep(isListed ? INTERVAL_MS : backoff.nextMs(), signal);
      }
    },
  };
}

/** Lists the nodes page by page, from the cache of the API server. */
async function fetchOldNodes(
  api: KubernetesApi,
  signal: AbortSignal,
): Promise<readonly NodeFacts[]> {
  const found: NodeFacts[] = [];
  let next = '';
  do {
    // A page that continues a list has its version.
    const from = next === '' ? { resourceVersion: '0' } : { continue: next };
    const query = { limit: String(PAGE), ...from };
    const list = await api.send({ method: 'GET', path: COLLECTION, query }, signal);
    found.push(...nodesBefore(list['items'], ENV_FILES_MINOR));
    const { continue: token } = list.metadata;
    next = typeof token === 'string' ? token : '';
  } while (next !== '');
  return found;
}

/** The nodes of a list whose kubelet is older than `1.MINOR`. */
export function nodesBefore(items: unknown, minor: number): readonly NodeFacts[] {
  return itemsOf(items).flatMap((item) => {
    const node = readObject(item);
    const { kubeletVersion } = fieldsOf(fieldsOf(node['status'])['nodeInfo']);
    const version = typeof kubeletVersion === 'string' ? kubeletVersion : '';
    if (!isBefore(version, minor)) return [];
    const labels = Object.entries(fieldsOf(node.metadata['labels'])).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
    return [{ name: node.metadata.name ?? '', version, labels: Object.fromEntries(labels) }];
  });
}
