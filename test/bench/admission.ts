/** AdmissionReviews over TLS with connections that are kept, as the API server sends them. */
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createTestCa } from '../../src/dev/ca/index.ts';
import { Measured, type Command } from './process.ts';
import { REVIEW } from './review.ts';
import { summarize, type Measurement } from './statistics.ts';

const BARE_HANDLER = fileURLToPath(new URL('bare-handler.ts', import.meta.url));

/** Reviews under way at once. */
const CONNECTIONS = 8;
/** Reviews before it counts: V8 has compiled what is hot by then. */
const WARM_UP = 2000;
const ROUNDS = 5;
const REVIEWS = 600;
const PATIENCE_MS = 20_000;

interface Load {
  readonly cpuMs: number;
  readonly perSecond: number;
}

interface Server {
  readonly process: Measured;
  readonly send: () => Promise<string>;
}

/** Loads the webhook and a bare handler by turns. `directory` is for certificate and key. */
export async function measureAdmission(
  webhook: Command,
  cwd: string,
  directory: string,
): Promise<Measurement[]> {
  await using stack = new AsyncDisposableStack();
  const { certPem, keyPem } = createTestCa().issue();
  const [cert, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
  await writeFile(cert, certPem);
  await writeFile(key, keyPem);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, ca: certPem });
  stack.defer(() => agent.destroy());
  const start = async (command: Command): Promise<Server> => {
    const process = stack.use(new Measured(command, {}, cwd));
    const address = await addressOf(process);
    return { process, send: () => send(address, agent) };
  };
  const ours = await start([
    ...webhook,
    ...['webhook', '--tls-cert', cert, '--tls-key', key],
    ...['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0'],
  ]);
  const answer = JSON.parse(await ours.send()) as { response: { patch?: string } };
  const { patch } = answer.response;
  if (patch === undefined) throw new Error(`the webhook did not inject: ${JSON.stringify(answer)}`);
  const bare = await start([process.execPath, BARE_HANDLER, cert, key, String(patch.length)]);
  const loads: { ours: Load[]; bare: Load[] } = { ours: [], bare: [] };
  for (const server of [ours, bare]) await load(server, WARM_UP);
  for (let round = 0; round < ROUNDS; round += 1) {
    loads.ours.push(await load(ours, REVIEWS));
    loads.bare.push(await load(bare, REVIEWS));
  }
  const row = (name: string, unit: string, pick: (load: Load) => number) => ({
    name,
    unit,
    ours: summarize(loads.ours.map(pick)),
    theirs: summarize(loads.bare.map(pick)),
  });
  return [
    {
      ...row('CPU of a review (beside: bare handler)', 'ms', ({ cpuMs }) => cpuMs),
      target: { most: 0.4 },
    },
    row('reviews a second (beside: bare handler)', '', ({ perSecond }) => perSecond),
  ];
}

async function load({ process, send }: Server, reviews: number): Promise<Load> {
  let left = reviews;
  const client = async (): Promise<void> => {
    while (left-- > 0) await send();
  };
  const [before, startedMs] = [process.cpuMs(), performance.now()];
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  const tookMs = performance.now() - startedMs;
  return { cpuMs: (process.cpuMs() - before) / reviews, perSecond: (reviews / tookMs) * 1000 };
}

/** Both print where they listen. */
async function addressOf(process: Measured): Promise<string> {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline && !process.hasEnded) {
    const [, address] = /"listen":"([^"]+)"/.exec(process.output) ?? [];
    if (address !== undefined) return address;
    await delay(20);
  }
  throw new Error(`the server does not listen; it printed:\n${process.output}`);
}

async function send(address: string, agent: Agent): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const [host = '', port = ''] = address.split(':');
  const options = {
    host,
    port,
    agent,
    servername: 'localhost',
    method: 'POST',
    path: '/mutate',
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(REVIEW) },
    // The address is our own child. A check of our own instead would make each request open a connection of its own.
    rejectUnauthorized: false,
  };
  const outgoing = request(options, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('end', () => {
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`HTTP ${response.statusCode ?? 0}`));
    });
    response.on('error', reject);
  });
  outgoing.on('error', reject);
  outgoing.end(REVIEW);
  return promise;
}
