/**
 * Speed and size beside `vault agent`, which is built and run on the same machine, and of the CSI driver, which has
 * nothing beside it: `npm run bench`. Options: `--runs N` starts of each (11), `--seconds N` of watching steady agents,
 * and as many of a driver at rest (300), `--only agent` or `--only driver`, `--json`. It judges nothing: the exit code
 * is 0 when everything worked, however long it took.
 */
import { parseArgs } from 'node:util';
import { join } from 'node:path';
import { measureAdmission } from '../test/bench/admission.ts';
import { vaultAgent, vouchsafe } from '../test/bench/agents.ts';
import { countRequests } from '../test/bench/counts.ts';
import { measureDriver } from '../test/bench/driver.ts';
import { asJson, asTable, host, machine } from '../test/bench/report.ts';
import { measureStarts } from '../test/bench/start.ts';
import type { Measurement } from '../test/bench/statistics.ts';
import { measureSteady } from '../test/bench/steady.ts';
import { startWorld } from '../test/bench/world.ts';
import { CANNOT_MOUNT } from '../test/helpers/csi-world.ts';
import { bundle } from './build.ts';
import { keepCompiled } from './compile.ts';
import { imageCommand } from './image-command.ts';
import { VAULT } from './programs.ts';
import { buildPrograms, root, run, say } from './servers.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '11' },
    seconds: { type: 'string', default: '300' },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const runs = count('runs', values.runs, 1000);
const seconds = count('seconds', values.seconds, 3600);

const { only } = values;
if (only !== undefined && only !== 'agent' && only !== 'driver') {
  refuse('--only is agent or driver');
}

const dist = join(root, 'dist');
say('building the bundle');
await bundle(dist);
await keepCompiled(dist);
const binary = only === 'driver' ? undefined : await vaultBinary();
// Pages of a file that was just written count as dirty memory of whoever maps them.
await run('sync', [], root);

const facts = binary === undefined ? host() : machine(binary);
const measurements: Measurement[] = [];
if (binary !== undefined) measurements.push(...(await measureAgents(binary)));
if (only !== 'agent') measurements.push(...(await measureNode()));
const report = values.json ? asJson(facts, measurements) : asTable(facts, measurements);
process.stdout.write(`${report.trimEnd()}\n`);

async function vaultBinary(): Promise<string> {
  await buildPrograms([VAULT]);
  return process.env[VAULT.variable] ?? '';
}

async function measureAgents(vault: string): Promise<Measurement[]> {
  const agents = { ours: vouchsafe(imageCommand(dist), root), theirs: vaultAgent(vault) };
  const found: Measurement[] = [];
  {
    await using world = await startWorld('kv2');
    say(`${runs} starts of each`);
    found.push(...(await measureStarts(world, agents, runs)));
    say(`steady agents, ${seconds} s`);
    found.push(...(await measureSteady(world, agents, seconds)));
    say('reviews');
    const directory = await world.directory();
    found.push(...(await measureAdmission(imageCommand(dist), root, directory)));
  }
  await using world = await startWorld('leased');
  say('logins and credentials');
  return [...found, ...(await countRequests(world, agents))];
}

async function measureNode(): Promise<Measurement[]> {
  if (CANNOT_MOUNT !== false) {
    say(`the CSI driver is left out: ${CANNOT_MOUNT}`);
    return [];
  }
  say(`the CSI driver, and ${seconds} s of it at rest`);
  return measureDriver(imageCommand(dist), root, seconds);
}

function count(name: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  refuse(`--${name} is a number from 1 to ${most}`);
}

function refuse(text: string): never {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(1);
}
