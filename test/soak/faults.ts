/** Everything that the soak breaks, and how it puts it right. */
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkloadApiFault } from '../../src/dev/workload-api/index.ts';
import type { FaultProxy, ProxyFault } from '../helpers/fault-proxy.ts';
import type { Check } from './ledger.ts';
import { LEASE_NOTICE_MS, type Costs } from './settings.ts';
import type { SoakWorld } from './world.ts';

/** Puts right what a fault has broken. */
type Repair = () => Promise<void>;

/** One kind of fault. */
export interface Fault {
  readonly name: string;
  /** Two faults of one group are never begun at once: they would repair each other. */
  readonly group: string;
  /** Shortest and longest time that it lasts; both 0 where it is done in a moment. */
  readonly lastsMs: readonly [number, number];
  readonly costs: Costs;
  /** What may fail during the fault and until the recovery. */
  readonly excuses: readonly Check[];
  /** How long the agent cannot notice it. Default 0. */
  readonly noticeMs?: number;
  begin(world: SoakWorld): Promise<Repair>;
}

const SECONDS: Fault['lastsMs'] = [2000, 7000];
const MOMENT: Fault['lastsMs'] = [0, 0];
/** Long enough away, and the token ends with its lease. */
const AWAY: Costs = { logins: 'once', credentials: 'once' };
/** Vault does what it is asked, and nobody learns of it. */
const LOSES_ANSWERS: Costs = { logins: 'tries', credentials: 'tries', certificates: 'tries' };
const LOSES_CREDENTIALS: Costs = { credentials: 'tries' };
/** Nothing can be renewed or replaced. */
const EVERYTHING: readonly Check[] = ['login', 'counter', 'certificate', 'x509', 'jwt'];
/** An SVID that does not come may cost the token, and with it whatever Vault gave. */
const FROM_VAULT: readonly Check[] = ['login', 'counter', 'certificate'];
const NOTHING: Repair = () => Promise.resolve();

/** A fault of the connection to Vault or of Vault to its database. */
function connection(
  side: 'vaultProxy' | 'databaseProxy',
  name: string,
  fault: ProxyFault,
  costs: Costs,
): Fault {
  const excuses: readonly Check[] = side === 'vaultProxy' ? FROM_VAULT : ['login'];
  return {
    name,
    group: side,
    lastsMs: SECONDS,
    costs,
    excuses,
    begin(world) {
      const proxy: FaultProxy = world[side];
      return switched(
        () => proxy.fault(fault),
        () => proxy.fault(undefined),
      );
    },
  };
}

/** A fault of the Workload API. */
function workloadApi(name: string, fault: WorkloadApiFault): Fault {
  const set = (world: SoakWorld, to: WorkloadApiFault | undefined): Promise<void> => {
    for (const method of ['FetchJWTSVID', 'FetchX509SVID'] as const) {
      world.identity.api.fault(method, to);
    }
    return Promise.resolve();
  };
  return {
    name,
    group: 'workload api',
    lastsMs: SECONDS,
    costs: {},
    excuses: EVERYTHING,
    begin: (world) =>
      switched(
        () => set(world, fault),
        () => set(world, undefined),
      ),
  };
}

async function switched(breakIt: Repair, repair: Repair): Promise<Repair> {
  await breakIt();
  return repair;
}

/** Something that is done at once. */
function sync(action: () => unknown): Repair {
  return () => {
    action();
    return Promise.resolve();
  };
}

const ALL: readonly Fault[] = [
  connection('vaultProxy', 'vault refuses connections', { kind: 'refuse' }, AWAY),
  connection('vaultProxy', 'vault hangs', { kind: 'hang' }, LOSES_ANSWERS),
  connection('vaultProxy', 'vault is slow', { kind: 'delay', delayMs: 800 }, {}),
  connection('vaultProxy', 'vault resets in an answer', { kind: 'reset' }, LOSES_ANSWERS),
  connection('vaultProxy', 'vault cuts answers in half', { kind: 'cut' }, LOSES_ANSWERS),
  connection('vaultProxy', 'vault answers garbage', { kind: 'garbage' }, AWAY),
  ...([429, 503] as const).map((status) =>
    connection(
      'vaultProxy',
      `vault answers ${status}`,
      { kind: 'busy', status, retryAfterSeconds: 2 },
      AWAY,
    ),
  ),
  connection('databaseProxy', 'database refuses vault', { kind: 'refuse' }, LOSES_CREDENTIALS),
  connection('databaseProxy', 'database hangs for vault', { kind: 'hang' }, LOSES_CREDENTIALS),
  connection('databaseProxy', 'database cuts answers', { kind: 'cut' }, LOSES_CREDENTIALS),
  {
    name: 'vault sealed',
    group: 'vault',
    lastsMs: SECONDS,
    costs: AWAY,
    excuses: FROM_VAULT,
    begin: ({ vault }) =>
      switched(
        () => vault.seal(),
        () => vault.unseal(),
      ),
  },
  {
    name: 'vault restarted',
    group: 'vault',
    lastsMs: SECONDS,
    costs: LOSES_ANSWERS,
    excuses: FROM_VAULT,
    begin: ({ vault }) =>
      switched(
        () => vault.stop(),
        () => vault.start(),
      ),
  },
  {
    name: 'vault throttles by quota',
    group: 'vault',
    lastsMs: SECONDS,
    costs: {},
    excuses: ['counter'],
    begin: ({ vault }) =>
      switched(
        async () => {
          const quota = { path: 'secret/', rate: 1, interval: '2s' };
          await vault.write('sys/quotas/rate-limit/soak', quota);
        },
        () => vault.remove('sys/quotas/rate-limit/soak'),
      ),
  },
  {
    name: 'policy taken away',
    group: 'vault',
    lastsMs: SECONDS,
    costs: { credentials: 'tries', certificates: 'tries' },
    excuses: FROM_VAULT,
    begin: (world) =>
      switched(
        () => world.allow(false),
        () => world.allow(true),
      ),
  },
  {
    name: 'token revoked',
    group: 'vault',
    lastsMs: MOMENT,
    costs: { logins: 'once' },
    excuses: ['login', 'counter'],
    noticeMs: 2000,
    async begin(world) {
      const token = await world.token();
      if (token !== undefined) await world.vault.write('auth/token/revoke', { token });
      return NOTHING;
    },
  },
  {
    name: 'leases revoked',
    group: 'vault',
    lastsMs: MOMENT,
    costs: { credentials: 'once' },
    excuses: ['login'],
    noticeMs: LEASE_NOTICE_MS,
    async begin({ vault }) {
      await vault.write('sys/leases/revoke-prefix/database/creds/app');
      return NOTHING;
    },
  },
  {
    name: 'postgresql restarted',
    group: 'database',
    lastsMs: SECONDS,
    costs: LOSES_CREDENTIALS,
    excuses: ['login'],
    begin: ({ postgres }) =>
      switched(
        () => postgres.stop(),
        () => postgres.start(),
      ),
  },
  workloadApi('workload api unavailable', { kind: 'code', code: 14, message: 'not now' }),
  workloadApi('workload api slow', { kind: 'delay', delayMs: 1500 }),
  workloadApi('workload api answers garbage', { kind: 'garbage' }),
  workloadApi('workload api ends streams', { kind: 'end' }),
  {
    name: 'workload api restarted',
    group: 'workload api',
    lastsMs: SECONDS,
    costs: {},
    excuses: EVERYTHING,
    begin: ({ identity }) =>
      switched(
        () => identity.stop(),
        () => identity.restart(),
      ),
  },
  {
    name: 'registration withdrawn',
    group: 'workload api',
    lastsMs: SECONDS,
    costs: {},
    excuses: EVERYTHING,
    begin: ({ identity }) =>
      switched(
        sync(() => identity.withdraw()),
        sync(() => identity.register()),
      ),
  },
  {
    name: 'x509-svids and jwt key rotated',
    group: 'workload api',
    lastsMs: MOMENT,
    costs: {},
    excuses: [],
    begin({ identity }) {
      identity.api.rotateX509();
      identity.api.rotateJwtKey();
      return Promise.resolve(NOTHING);
    },
  },
  {
    name: 'new jwt key while the keys cannot be fetched, token revoked',
    group: 'vault',
    lastsMs: SECONDS,
    costs: { logins: 'tries' },
    excuses: FROM_VAULT,
    noticeMs: 2000,
    async begin(world) {
      const { identity, vault } = world;
      identity.oidc.fault({ kind: 'status', status: 503 });
      identity.api.rotateJwtKey();
      const token = await world.token();
      if (token !== undefined) await vault.write('auth/token/revoke', { token });
      return sync(() => identity.oidc.fault(undefined));
    },
  },
  {
    name: 'agent killed',
    group: 'agent',
    lastsMs: [200, 5000],
    costs: { logins: 'once', credentials: 'once', certificates: 'once' },
    excuses: EVERYTHING,
    async begin(world) {
      await world.stopAgent('SIGKILL');
      return async () => {
        await world.startAgent();
      };
    },
  },
  {
    name: 'agent stopped and continued',
    group: 'agent',
    lastsMs: [2000, 14_000],
    costs: AWAY,
    excuses: EVERYTHING,
    begin({ agent }) {
      const pid = agent?.pid ?? 0;
      return switched(
        sync(() => process.kill(pid, 'SIGSTOP')),
        sync(() => process.kill(pid, 'SIGCONT')),
      );
    },
  },
  ...(['refuses', 'hangs'] as const).map((mood): Fault => ({
    name: `application ${mood === 'refuses' ? 'refuses' : 'hangs at'} notifications`,
    group: 'application',
    lastsMs: SECONDS,
    costs: {},
    excuses: [],
    begin(world) {
      world.mood = mood;
      return Promise.resolve(() => Promise.resolve(void (world.mood = 'well')));
    },
  })),
];

const VOLUME_FULL: Fault = {
  name: 'volume full',
  group: 'volume',
  lastsMs: SECONDS,
  costs: {},
  excuses: EVERYTHING,
  begin({ volume }) {
    const path = join(volume, 'ballast');
    const end = new AbortController();
    const filling = (async (): Promise<void> => {
      while (!end.signal.aborted) {
        await fill(path);
        await delay(50); // the agent takes sets away that nobody reads any more
      }
    })();
    return Promise.resolve(async () => {
      end.abort();
      await filling;
      await rm(path);
    });
  },
};

/** The faults of a world; one without a volume cannot be filled. */
export function faultsFor(world: SoakWorld): readonly Fault[] {
  return world.hasVolume ? [...ALL, VOLUME_FULL] : ALL;
}

/** Appends pages until there is room for no more. */
async function fill(path: string): Promise<void> {
  try {
    for (;;) await appendFile(path, Buffer.alloc(4096));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
}
