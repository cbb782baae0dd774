/** Where applications call on their first line: one clock for the whole way from the request to that line. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { NODE_ADDRESS } from '../../cluster/parts/network.ts';

const PATIENCE_MS = 120_000;

/** An application's first line. */
export interface Call {
  /** Milliseconds since the epoch. */
  readonly atMs: number;
  /** How many files the application saw. */
  readonly files: number;
}

/** Listens for {@link Call}s. */
export interface Calls extends AsyncDisposable {
  /** A line of shell that prints the files of a directory, and calls. Nothing is started before the call itself. */
  line(pod: string, directory: string): string;
  /** Waits for a pod's call. */
  from(pod: string): Promise<Call>;
}

/** Listens on the address of the node. */
export async function startCalls(): Promise<Calls> {
  const heard = new Map<string, PromiseWithResolvers<Call>>();
  const slot = (pod: string): PromiseWithResolvers<Call> => {
    const known = heard.get(pod) ?? Promise.withResolvers<Call>();
    heard.set(pod, known);
    return known;
  };
  const server = createServer((request, response) => {
    const atMs = Date.now();
    const [, pod = '', files] = (request.url ?? '').split('/');
    slot(pod).resolve({ atMs, files: Number(files) });
    response.end();
  }).listen(0, NODE_ADDRESS);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server that listens has one
  const url = `http://${NODE_ADDRESS}:${port}`;
  return {
    line: (pod, directory) =>
      `set -- ${directory}/*; test -e "$1" || shift; wget -qO /dev/null "${url}/${pod}/$#"`,
    async from(pod) {
      const enough = new AbortController();
      const tooLong = delay(PATIENCE_MS, undefined, { signal: enough.signal }).then(() => {
        throw new Error(`the application of pod ${pod} did not start in ${PATIENCE_MS / 1000} s`);
      });
      tooLong.catch(() => undefined); // the race reports it
      try {
        return await Promise.race([slot(pod).promise, tooLong]);
      } finally {
        enough.abort();
      }
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
