/**
 * An agent with a user of its own, beside an application of another, on the kernel: volumes as the kubelet makes
 * them for an fsGroup, processes as the runtime starts them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FaultWorld } from '../../helpers/fault-world.ts';

const [AGENT, APPLICATION, FS_GROUP] = [65_528, 1000, 2000];
const MAIN = fileURLToPath(new URL('../../../cmd/agent/main.ts', import.meta.url));

/** How a container of that user starts; both have the primary group that the pod says. */
function asUser(user: number, groups: readonly number[]): string[] {
  const more = groups.length > 0 ? [`--groups=${groups.join()}`] : ['--clear-groups'];
  return ['setpriv', `--reuid=${user}`, `--regid=${APPLICATION}`, ...more, '--no-new-privs'];
}

/** What a process reads with the rights of that user. */
function readAs(path: string, groups: readonly number[], user = APPLICATION): string | undefined {
  const [command, ...args] = [...asUser(user, groups), 'cat', path];
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}

const canBecomeAnother =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  spawnSync('setpriv', ['--version']).status === 0;
const skip = canBecomeAnother ? false : 'only root, with setpriv, can become another user';

suite('an agent with a user of its own', { skip }, () => {
  test('writes both volumes; the application reads the files by its group, and neither state nor memory', async () => {
    await using world = await FaultWorld.start();
    const { bench } = world;
    await chown(bench.directory, AGENT, AGENT);
    await chmod(bench.directory, 0o755);
    for (const volume of [bench.output, bench.stateDirectory]) {
      await mkdir(volume);
      await chown(volume, 0, FS_GROUP);
      await chmod(volume, 0o2777);
    }
    const socket = fileURLToPath(world.api.address.replace('unix:', 'file:'));
    await chmod(dirname(socket), 0o755);
    await chmod(socket, 0o777);
    const document = {
      stateDirectory: bench.stateDirectory,
      output: { directory: bench.output, mode: '0440' },
    };
    const command = [...asUser(AGENT, [FS_GROUP]), process.execPath, MAIN];
    const agent = await world.agent(document, [], { command });
    await agent.logged(/files delivered/);

    const file = join(bench.output, 'user');
    const { uid, gid, mode } = await stat(file);
    assert.deepEqual([uid, gid, mode & 0o777], [AGENT, FS_GROUP, 0o440]);
    assert.equal(readAs(file, [FS_GROUP]), await bench.file('user'));
    assert.equal(readAs(file, []), undefined, 'the group is what lets it read');

    const state = join(bench.stateDirectory, 'state.json');
    const kept = await stat(state);
    assert.deepEqual([kept.uid, kept.mode & 0o777], [AGENT, 0o600]);
    assert.equal(readAs(state, [FS_GROUP]), undefined);
    for (const name of ['environ', 'maps']) {
      const path = `/proc/${agent.pid}/${name}`;
      assert.equal(readAs(path, [FS_GROUP]), undefined, name);
      assert.notEqual(readAs(path, [FS_GROUP], AGENT), undefined, 'the user is what forbids it');
    }
  });
});
