/** How tests, which are processes of their own, hurt and heal the world: `POST /<action>` on a Unix socket. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Cluster } from './cluster.ts';
import type { Identity } from './identity.ts';
import { place } from './workspace.ts';

/** What can be asked for. */
export type Action =
  | 'restart-containerd'
  | 'restart-kubelet'
  | 'run-short-of-memory'
  | 'have-memory-again'
  | 'lose-power'
  | 'have-power'
  | 'stop-identity'
  | 'start-identity'
  | 'rotate-identity'
  | 'withhold'
  | 'admit';

/** A listener for {@link Action}s. */
export interface Control extends AsyncDisposable {
  readonly path: string;
}

/** Starts it. */
export async function startControl(cluster: Cluster, identity: Identity): Promise<Control> {
  const actions: Record<Action, (namespace: string) => Promise<void> | void> = {
    'restart-containerd': () => cluster.restartContainerd(),
    'restart-kubelet': () => cluster.restartKubelet(),
    'run-short-of-memory': () => cluster.runShortOfMemory(true),
    'have-memory-again': () => cluster.runShortOfMemory(false),
    'lose-power': () => cluster.losePower(),
    'have-power': () => cluster.havePower(),
    'stop-identity': () => identity.stop(),
    'start-identity': () => identity.start(),
    'rotate-identity': () => identity.rotate(),
    withhold: (namespace) => identity.withhold(namespace),
    admit: (namespace) => identity.admit(namespace),
  };
  const path = place('control.sock');
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    const [, action = '', namespace = ''] = (request.url ?? '').split('/');
    Promise.try(() => actions[action as Action](namespace)).then(
      // a name that is none throws
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  }).listen(path);
  await once(server, 'listening');
  return {
    path,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
