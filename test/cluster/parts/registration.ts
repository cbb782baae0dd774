/**
 * Registration entries of SPIRE, as an operator makes them: two for each service account, one of which is for its pods
 * with a label.
 */
import { writeFileSync } from 'node:fs';
import { runSpire } from '../../helpers/spire-process.ts';
import type { Api } from './api.ts';
import { eventually } from './eventually.ts';
import { SERVER_SOCKET, TRUST_DOMAIN, TRUSTED } from './identity-place.ts';
import { Informer } from './informer.ts';
import { AGENT, CLUSTER, SPIRE } from './spire-config.ts';
import { place } from './workspace.ts';

/** All agents of the cluster, by an entry of their own. */
export const NODES = `spiffe://${TRUST_DOMAIN}/nodes`;
/** Life of X.509-SVIDs, which no test waits for. */
const X509_TTL_SECONDS = 3600;
/** The server may be away while its node has no power. */
const PATIENCE_MS = 120_000;

/** Begins the IDs of the entries that are kept here: tests make others. */
const OWN = 'cluster.';

interface Account {
  readonly metadata: { readonly uid: string; readonly namespace: string; readonly name: string };
}

/** An entry in the words of SPIRE's command line. */
export interface Entry {
  readonly entry_id: string;
  readonly spiffe_id: string;
  readonly parent_id: string;
  readonly selectors: readonly { readonly type: string; readonly value: string }[];
  readonly dns_names?: readonly string[];
  readonly x509_svid_ttl?: number;
}

/** SPIFFE ID of the pods of a service account. */
function idOf({ metadata: { namespace, name } }: Account): string {
  return `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${name}`;
}

/** Keeps the entries of the SPIRE server as the service accounts of the cluster are. */
export class Registration implements AsyncDisposable {
  readonly #accounts: Informer<Account>;
  readonly #withheld = new Set<string>();
  /** IDs of the server's entries; undefined where it has to be asked. */
  #known: Set<string> | undefined;
  #rotations = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #isOver = false;

  constructor(api: Api) {
    this.#accounts = new Informer(api, '/api/v1/serviceaccounts', () => {
      this.#enqueue(() => this.#reconcile()).catch(() => undefined); // and again with the next change
    });
  }

  /** Its pods are not registered until they are admitted. */
  async withhold(namespace: string): Promise<void> {
    this.#withheld.add(namespace);
    await this.#enqueue(() => this.#reconcile());
  }

  async admit(namespace: string): Promise<void> {
    this.#withheld.delete(namespace);
    await this.#enqueue(() => this.#reconcile());
  }

  /** New X.509-SVIDs for all pods: agents replace those of entries that have changed. */
  async rotate(): Promise<void> {
    this.#rotations += 1;
    await this.#enqueue(async () => {
      await this.#reconcile();
      await this.#send('update', this.#wanted());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.#accounts[Symbol.asyncDispose]();
    await this.#queue;
  }

  /** One after the other, and again until it is done. */
  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(async () => {
      await eventually(
        'SPIRE has its entries',
        async () => {
          if (!this.#isOver) await work();
          return true;
        },
        PATIENCE_MS,
      );
    });
    this.#queue = done.catch(() => undefined);
    return done;
  }

  async #reconcile(): Promise<void> {
    const known = this.#known ?? (await listed());
    this.#known = undefined;
    const wanted = this.#wanted();
    const ids = new Set(wanted.map(({ entry_id: id }) => id));
    await this.#send(
      'create',
      wanted.filter(({ entry_id: id }) => !known.has(id)),
    );
    const gone = [...known].filter((id) => !ids.has(id));
    if (gone.length > 0) await spire('delete', ['-file', written({ ids: gone })]);
    this.#known = ids;
  }

  async #send(verb: 'create' | 'update', entries: readonly Entry[]): Promise<void> {
    if (entries.length > 0) await spire(verb, ['-data', written({ entries })]);
  }

  #wanted(): readonly Entry[] {
    const ttl = X509_TTL_SECONDS + this.#rotations;
    const accounts = this.#accounts
      .all()
      .filter(({ metadata: { namespace } }) => namespace !== SPIRE && !/^kube-/.test(namespace))
      .filter(({ metadata: { namespace } }) => !this.#withheld.has(namespace));
    return [nodes(), ...accounts.flatMap((account) => entriesOf(account, ttl))];
  }
}

function nodes(): Entry {
  const values = [`cluster:${CLUSTER}`, `agent_ns:${SPIRE}`, `agent_sa:${AGENT}`];
  return {
    entry_id: `${OWN}nodes`,
    spiffe_id: NODES,
    parent_id: `spiffe://${TRUST_DOMAIN}/spire/server`,
    selectors: values.map((value) => ({ type: 'k8s_psat', value })),
  };
}

function entriesOf(account: Account, ttl: number): readonly Entry[] {
  const { namespace, name } = account.metadata;
  const selectors = [`ns:${namespace}`, `sa:${name}`].map((value) => ({ type: 'k8s', value }));
  const label = { type: 'k8s', value: `pod-label:${TRUSTED.name}:${TRUSTED.value}` };
  const entry = {
    entry_id: `${OWN}${namespace}.${name}`,
    spiffe_id: idOf(account),
    parent_id: NODES,
    selectors,
    // The common name: without one Vault's cert auth would not know what to call it.
    dns_names: [`${name}.${namespace}.${TRUST_DOMAIN}`],
    x509_svid_ttl: ttl,
  };
  const trusted = {
    ...entry,
    entry_id: `${entry.entry_id}.trusted`,
    spiffe_id: `${entry.spiffe_id}/trusted`,
    selectors: [...selectors, label],
  };
  return [entry, trusted];
}

/** Makes an entry for as long as a test runs. */
export async function registered(entry: Entry): Promise<AsyncDisposable> {
  await spire('create', ['-data', written({ entries: [entry] })]);
  return {
    async [Symbol.asyncDispose]() {
      await spire('delete', ['-entryID', entry.entry_id]);
    },
  };
}

/** IDs of those that the server has. */
async function listed(): Promise<Set<string>> {
  const { entries } = JSON.parse(await spire('show', ['-output', 'json'])) as {
    readonly entries: readonly { readonly id: string }[];
  }; // by its interface
  return new Set(entries.map(({ id }) => id).filter((id) => id.startsWith(OWN)));
}

async function spire(verb: string, args: readonly string[]): Promise<string> {
  const command = ['entry', verb, '-socketPath', SERVER_SOCKET, ...args];
  return (await runSpire('spire-server', command)).stdout;
}

/** Path of a file with this content. */
function written(content: object): string {
  const path = place(`spire-entries-${process.pid}.json`);
  writeFileSync(path, JSON.stringify(content));
  return path;
}
