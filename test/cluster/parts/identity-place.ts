/** Where pods find the Workload API. */
import { join } from 'node:path';
import { WORKSPACE } from './workspace.ts';

/** On the node. */
export const IDENTITY_DIRECTORY = join(WORKSPACE, 'identity');
/** In the agent's containers. */
export const SOCKET_DIRECTORY = '/run/workload-api';

/** Socket of the Broker API, for the CSI driver. */
export const BROKER_SOCKET = join(WORKSPACE, 'broker', 'api.sock');

/** Socket of the Delegated Identity API, for the CSI driver. */
export const ADMIN_SOCKET = join(WORKSPACE, 'admin', 'api.sock');

/** A label of pods for which each service account has a registration entry; its SPIFFE ID ends in `/trusted`. */
export const TRUSTED = { name: 'vouchsafe-test/trusted', value: 'true' };
