/**
 * The way from this machine to the API server in the cluster's network: a port of loopback outside, a Unix socket,
 * which belongs to no network, and the API server inside.
 */
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { API_SERVER } from './control-plane.ts';
import { place } from './workspace.ts';

const SOCKET = place('api-server.sock');

/** Inside: from the socket to the API server. */
export async function startDoor(): Promise<Disposable> {
  const { hostname, port } = new URL(API_SERVER);
  rmSync(SOCKET, { force: true });
  const server = forward(() => connect(Number(port), hostname)).listen(SOCKET);
  await once(server, 'listening');
  return closing(server);
}

/** Outside: from a port of loopback to the socket; writes a kubeconfig with that port. */
export async function openDoor(
  kubeconfig: string,
): Promise<Disposable & { readonly kubeconfig: string }> {
  const server = forward(() => connect(SOCKET)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const path = place('kubeconfig');
  const text = readFileSync(kubeconfig, 'utf8');
  writeFileSync(path, text.replace(API_SERVER, `https://127.0.0.1:${port}`), { mode: 0o600 });
  return { kubeconfig: path, ...closing(server) };
}

function forward(open: () => Socket): Server {
  return createServer((caller) => {
    const target = open();
    // Either end that breaks takes the other along.
    pipeline(caller, target, () => undefined);
    pipeline(target, caller, () => undefined);
  });
}

function closing(server: Server): Disposable {
  return { [Symbol.dispose]: () => void server.close() };
}
