/** Ports for servers that are slow to start, or that are started again where they were. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below where Linux takes the ports of outgoing connections from: none of those comes between. */
const RANGE = { min: 20_000, max: 30_000 } as const;
const MAX_TRIES = 100;

/** A port of 127.0.0.1 where nobody listens. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const port = randomInt(RANGE.min, RANGE.max);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port in ${MAX_TRIES} tries`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listening = once(server.listen(port, '127.0.0.1'), 'listening');
  try {
    await listening;
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
