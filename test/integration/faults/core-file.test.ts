/**
 * What an agent leaves behind when it dies by a signal. Node cannot forbid core files, so the program of the
 * image is one that its user cannot read; elsewhere a core file holds none of the agent's memory.
 */
import assert from 'node:assert/strict';
import { chmod, chown, copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Launch, RunningAgent } from '../../helpers/agent-process.ts';
import { FaultWorld } from '../../helpers/fault-world.ts';

/** The user of the image. */
const UID = 65_532;

const CORE_PATTERN = '/proc/sys/kernel/core_pattern';

/** Starts an agent that holds a token, values, an SVID and its key, all of them planted. */
async function holdingSecrets(world: FaultWorld, launch: Launch): Promise<RunningAgent> {
  const more = { x509Svid: true, stateDirectory: world.bench.stateDirectory };
  const agent = await world.agent(more, [], launch);
  await agent.logged(/files delivered/);
  const state = await readFile(join(world.bench.stateDirectory, 'state.json'), 'utf8');
  world.hunt.plant(/"token":"([^"]+)"/.exec(state)?.[1] ?? 'no token');
  for (const line of (await world.bench.file('svid_key.pem')).split('\n').slice(1, -2)) {
    world.hunt.plant(line);
  }
  return agent;
}

suite('no core file', { skip: process.platform !== 'linux', concurrency: 2 }, () => {
  for (const signal of ['SIGABRT', 'SIGSEGV'] as const) {
    test(`has any memory of an agent that dies by ${signal}`, async (t) => {
      await using world = await FaultWorld.start();
      const coresIn = join(world.bench.directory, 'cwd');
      await mkdir(coresIn);
      const agent = await holdingSecrets(world, { coresIn });
      const filter = await readFile(`/proc/${agent.pid}/coredump_filter`, 'utf8');
      assert.equal(Number.parseInt(filter, 16), 0);
      await agent.kill(signal);
      assert.equal(agent.endedBy, signal);
      const pattern = (await readFile(CORE_PATTERN, 'utf8')).trim();
      const cores = await readdir(coresIn);
      if (/^[|@/]/.test(pattern))
        t.diagnostic(`cores go to "${pattern}": only the filter is checked`);
      else assert.equal(cores.length, 1, 'one core file, and nothing else');
      for (const name of cores) {
        assert.deepEqual(writableSegments(await readFile(join(coresIn, name))), []);
      }
    });
  }

  const notRoot = process.getuid?.() === 0 ? false : 'only root can become another user';
  test('is written at all of the program of the image', { skip: notRoot }, async () => {
    await using world = await FaultWorld.start();
    const { directory } = world.bench;
    const coresIn = join(directory, 'cwd');
    await mkdir(coresIn);
    const node = join(directory, 'node');
    await copyFile(process.execPath, node);
    await chmod(node, await modeInImage());
    for (const path of [directory, coresIn]) await chown(path, UID, UID);
    const socket = fileURLToPath(world.api.address.replace('unix:', 'file:'));
    await chmod(dirname(socket), 0o755);
    await chmod(socket, 0o777);
    const agent = await holdingSecrets(world, { coresIn, node, uid: UID });
    await agent.kill('SIGSEGV');
    assert.equal(agent.endedBy, 'SIGSEGV');
    assert.deepEqual(await readdir(coresIn), []);
  });
});

/** The mode of Node in the image, from the script that lays it out. */
async function modeInImage(): Promise<number> {
  const script = await readFile(new URL('../../../.tools/image.sh', import.meta.url), 'utf8');
  return Number.parseInt(/chmod (\d+) "\$root\/vouchsafe\/node"/.exec(script)?.[1] ?? '', 8);
}

/** Addresses of the segments of a core file (ELF, 64 bits, little endian) that are memory the process wrote to. */
function writableSegments(core: Buffer): string[] {
  assert.equal(core.toString('latin1', 1, 4), 'ELF');
  const [PT_LOAD, WRITABLE] = [1, 2];
  const start = Number(core.readBigUInt64LE(32));
  const size = core.readUInt16LE(54);
  return Array.from({ length: core.readUInt16LE(56) }, (_, index) => start + index * size)
    .filter((at) => core.readUInt32LE(at) === PT_LOAD)
    .filter((at) => (core.readUInt32LE(at + 4) & WRITABLE) !== 0)
    .filter((at) => core.readBigUInt64LE(at + 32) > 0n)
    .map((at) => core.readBigUInt64LE(at + 16).toString(16));
}
