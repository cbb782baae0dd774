/** Where SPIRE is found: on the node, in the agent's containers, in the cluster's network. */
import { join } from 'node:path';
import { WORKSPACE } from './workspace.ts';

export const TRUST_DOMAIN = 'example.org';

/** Directory of the Workload API on the node. */
export const IDENTITY_DIRECTORY = join(WORKSPACE, 'identity');
/** Its socket in the agent's containers. */
export const IDENTITY_SOCKET = '/run/spire/sockets/agent.sock';

/** Socket of the Broker API on the node, for the CSI driver. */
export const BROKER_SOCKET = join(WORKSPACE, 'broker', 'api.sock');

/** Socket of the Delegated Identity API on the node, for the CSI driver. */
export const ADMIN_SOCKET = join(WORKSPACE, 'admin', 'api.sock');

/** Socket of the SPIRE server on the node, for its operator. */
export const SERVER_SOCKET = join(WORKSPACE, 'spire-server', 'api.sock');

/** A label of pods for which each service account has a registration entry; its SPIFFE ID ends in `/trusted`. */
export const TRUSTED = { name: 'vouchsafe-test/trusted', value: 'true' };
