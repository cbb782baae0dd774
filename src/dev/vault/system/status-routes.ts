/**
 * `sys/health`, `sys/seal-status`, `sys/seal` and `sys/unseal`.
 */
import { jsonReply, type VaultCore } from '../core/core.ts';
import { seconds } from '../core/fields.ts';
import type { Answer, Json } from '../core/messages.ts';
import { WRITE, type Routes } from '../core/routes.ts';

/** The version that the server claims to be. */
const VAULT_VERSION = '1.21.0';

const CLUSTER = {
  cluster_name: 'vault-cluster-dev',
  cluster_id: '00000000-0000-4000-8000-000000000000',
};

/** The status of a server without high availability. */
const LEADER: Json = {
  ha_enabled: false,
  is_self: false,
  active_time: '0001-01-01T00:00:00Z',
  leader_address: '',
  leader_cluster_address: '',
  performance_standby: false,
  performance_standby_last_remote_wal: 0,
};

/** Adds the routes that report and change the state of the server. */
export function addStatusRoutes(routes: Routes, core: VaultCore): void {
  routes
    .on('read', 'health', (request) => plain(healthStatus(core, request.query), health(core)))
    .on('read', 'seal-status', () => plain(200, sealStatus(core)))
    .on('read', 'leader', () => plain(200, LEADER))
    .on(WRITE, 'seal', () => {
      core.sealed = true;
      return {};
    })
    .on(WRITE, 'unseal', () => {
      core.sealed = false;
      return plain(200, sealStatus(core));
    });
}

function plain(status: number, body: Json): Answer {
  return { raw: jsonReply(status, body), status };
}

/** A load balancer may choose the statuses: `?sealedcode=200`. */
function healthStatus(core: VaultCore, query: URLSearchParams): number {
  const code = Number(query.get(core.sealed ? 'sealedcode' : 'activecode'));
  if (Number.isInteger(code) && code >= 200 && code < 600) return code;
  return core.sealed ? 503 : 200;
}

function health(core: VaultCore): Json {
  return {
    initialized: true,
    sealed: core.sealed,
    standby: core.sealed,
    performance_standby: false,
    replication_performance_mode: core.sealed ? 'unknown' : 'disabled',
    replication_dr_mode: core.sealed ? 'unknown' : 'disabled',
    server_time_utc: seconds(core.clock.now()),
    version: VAULT_VERSION,
    enterprise: false,
    ...(core.sealed ? {} : CLUSTER),
    echo_duration_ms: 0,
    clock_skew_ms: 0,
    replication_primary_canary_age_ms: 0,
  };
}

function sealStatus(core: VaultCore): Json {
  return {
    type: 'shamir',
    initialized: true,
    sealed: core.sealed,
    t: 1,
    n: 1,
    progress: 0,
    nonce: '',
    version: VAULT_VERSION,
    build_date: '',
    migration: false,
    ...(core.sealed ? {} : CLUSTER),
    recovery_seal: false,
    storage_type: 'inmem',
  };
}
