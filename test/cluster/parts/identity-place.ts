/** Where pods find the Workload API. */
import { join } from 'node:path';
import { WORKSPACE } from './workspace.ts';

/** On the node. */
export const IDENTITY_DIRECTORY = join(WORKSPACE, 'identity');
/** In the agent's containers. */
export const SOCKET_DIRECTORY = '/run/workload-api';

/** Socket of the Broker API, for the CSI driver. */
export const BROKER_SOCKET = join(WORKSPACE, 'broker', 'api.sock');
