/** The bench of the cluster, from inside its network: `main.ts RUNS table|json`. */
import { loadavg } from 'node:os';
import { install } from '../../cluster/parts/installing.ts';
import { NODE_NAME } from '../../cluster/parts/node.ts';
import { INJECTOR_IMAGE, REPOSITORY, VERSION } from '../../cluster/parts/images.ts';
import { BY_BROKER } from '../../cluster/parts/release.ts';
import { api } from '../../cluster/parts/suite.ts';
import { host } from '../report.ts';
import { measureAdmissions, type Admissions } from './admission.ts';
import { measureDriver } from './driver.ts';
import { measureMemory, type Memory } from './memory.ts';
import { accountTenant, spiffeTenant } from './pods.ts';
import { asJson, asTable } from './report.ts';
import { startIncumbent } from './incumbent.ts';
import { injected, measureStarts, published } from './starts.ts';

/** How many admissions, by how many at a time. */
const ADMISSIONS = [
  [1, 200],
  [20, 600],
] as const;

/** Pods on the node. */
const FLEETS = [1, 50];

/** Volumes on the node. */
const VOLUMES = [10, 60, 100, 200];

interface NodeImages {
  readonly status: {
    readonly images: readonly { readonly names: readonly string[]; readonly sizeBytes: number }[];
  };
}

const [runs, format] = process.argv.slice(2);
const before = host();
await using _release = await withBroker();
await using account = await accountTenant();
await using spiffe = await spiffeTenant();
await using incumbent = (await hasImage(INJECTOR_IMAGE)) ? await startIncumbent() : undefined;
say(`${runs} starts of each kind`);
const starts = await measureStarts(
  [
    { name: 'plain', space: account.space, asked: {} },
    published('csi', account),
    published('csi, SPIFFE', spiffe),
    injected('native', account, 'native'),
    injected('pair', account, 'pair'),
    injected('native, SPIFFE', spiffe, 'native'),
    ...(incumbent === undefined ? [] : [await incumbent.pods(account)]),
  ],
  Number(runs),
);
say('admissions');
const admissions: Admissions[] = [];
for (const [parallel, count] of ADMISSIONS) {
  admissions.push(await measureAdmissions(account, parallel, count));
}
const memory: Memory[] = [];
for (const pods of FLEETS) {
  say(`memory with ${pods} of our pods on the node`);
  memory.push(await measureMemory(account, pods));
}
say(`the CSI driver with ${VOLUMES.join(', ')} volumes`);
const driver = await measureDriver(account, VOLUMES);
const loadAfter = loadavg()[0] ?? 0;
const figures = {
  host: before,
  loadAfter,
  starts,
  admissions,
  memory,
  driver,
  imageBytes: await imageBytes(),
  isIncumbentMissing: incumbent === undefined,
};
process.stdout.write(`${format === 'json' ? asJson(figures) : asTable(figures)}\n`);

/** The driver gets SVIDs of pods too, until the bench ends; those that log in by their tokens do so as before. */
async function withBroker(): Promise<AsyncDisposable> {
  await install(...BY_BROKER);
  return { [Symbol.asyncDispose]: () => install() };
}

async function imageBytes(): Promise<number> {
  const image = await nodeImage(`${REPOSITORY}:${VERSION}`);
  if (image === undefined) throw new Error('the node does not report the size of our image');
  return image.sizeBytes;
}

async function hasImage(name: string): Promise<boolean> {
  return (await nodeImage(name)) !== undefined;
}

async function nodeImage(
  name: string,
): Promise<NodeImages['status']['images'][number] | undefined> {
  const { status } = await api.get<NodeImages>(`/api/v1/nodes/${NODE_NAME}`);
  return status.images.find(({ names }) => names.includes(name));
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
