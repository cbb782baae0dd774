/**
 * Speed and size beside `vault agent`, which is built and run on the same machine: `npm run bench`. Options:
 * `--runs N` starts of each (11), `--seconds N` of watching steady agents (300), `--json`. It judges nothing: the
 * exit code is 0 when everything worked, however long it took.
 */
import { parseArgs } from 'node:util';
import { join } from 'node:path';
import { measureAdmission } from '../test/bench/admission.ts';
import { vaultAgent, vouchsafe } from '../test/bench/agents.ts';
import { countRequests } from '../test/bench/counts.ts';
import { asJson, asTable, machine } from '../test/bench/report.ts';
import { measureStarts } from '../test/bench/start.ts';
import type { Measurement } from '../test/bench/statistics.ts';
import { measureSteady } from '../test/bench/steady.ts';
import { startWorld } from '../test/bench/world.ts';
import { bundle } from './build.ts';
import { keepCompiled } from './compile.ts';
import { imageCommand } from './image-command.ts';
import { buildPrograms, root, run, say, VAULT } from './servers.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '11' },
    seconds: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
});
const runs = count('runs', values.runs, 1000);
const seconds = count('seconds', values.seconds, 3600);

const dist = join(root, 'dist');
say('building the bundle');
await bundle(dist);
await keepCompiled(dist);
await buildPrograms([VAULT]);
const binary = process.env[VAULT.variable] ?? '';
// Pages of a file that was just written count as dirty memory of whoever maps them.
await run('sync', [], root);

const facts = machine(binary);
const agents = { ours: vouchsafe(imageCommand(dist), root), theirs: vaultAgent(binary) };
const measurements: Measurement[] = [];
{
  await using world = await startWorld('kv2');
  say(`${runs} starts of each`);
  measurements.push(...(await measureStarts(world, agents, runs)));
  say(`steady agents, ${seconds} s`);
  measurements.push(...(await measureSteady(world, agents, seconds)));
  say('reviews');
  const directory = await world.directory();
  measurements.push(...(await measureAdmission(imageCommand(dist), root, directory)));
}
{
  await using world = await startWorld('leased');
  say('logins and credentials');
  measurements.push(...(await countRequests(world, agents)));
}
const report = values.json ? asJson(facts, measurements) : asTable(facts, measurements);
process.stdout.write(`${report.trimEnd()}\n`);

function count(name: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  process.stderr.write(`bench: --${name} is a number from 1 to ${most}\n`);
  process.exit(1);
}
