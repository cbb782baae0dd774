/**
 * What the agent does when it is stopped or killed at a bad moment, when the application does not listen, and
 * when what it has to write is odd.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import type { AgentStatus } from '../../../src/agent/index.ts';
import { EXIT } from '../../../src/core/index.ts';
import { eventually, type RunningAgent } from '../../helpers/agent-process.ts';
import { startApplication } from '../../helpers/application.ts';
import { FaultWorld, FILES } from '../../helpers/fault-world.ts';

/** Stops an agent as the kubelet does; it ends by itself, with its exit code. How soon is tested with the clock of test/unit/agent. */
async function stop(agent: RunningAgent): Promise<number | null> {
  await agent.kill('SIGTERM');
  return agent.exit();
}

/** Whether a state has been saved that a successor can go on from. */
async function savedToken(world: FaultWorld): Promise<string | undefined> {
  const path = join(world.bench.stateDirectory, 'state.json');
  const state = await readFile(path, 'utf8').catch(() => '');
  return /"token":"([^"]+)"/.exec(state)?.[1];
}

/** Begins an answer, and never ends it. */
function half(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Length': 100 });
  response.write('reload');
}

// Most of their time is waiting.
suite('the agent as a process', { concurrency: 4 }, () => {
  suite('agent stopped by SIGTERM', { concurrency: 2 }, () => {
    for (const [when, path] of [
      ['while the login hangs', 'auth/jwt/login'],
      ['while the first read hangs', 'kv/app'],
    ] as const) {
      test(`${when}: the agent ends at once, in order`, async () => {
        await using world = await FaultWorld.start();
        world.vault.faults.add({ match: { path }, respond: 'hang' });
        const agent = await world.agent();
        await world.vault.waitFor({ path }, 1, AbortSignal.timeout(20_000));
        assert.equal(await stop(agent), 0);
        assert.equal(world.vault.tokenAccessors.length, 1, 'the root token alone is left');
      });
    }

    test('while nothing of Vault answers any more: the end does not wait for it', async () => {
      await using world = await FaultWorld.start();
      const agent = await world.agent();
      await world.delivered(1);
      world.vault.faults.add({ match: {}, respond: 'hang' });
      await world.vault.waitFor({ path: 'kv/app' }, 2, AbortSignal.timeout(20_000));
      assert.equal(await stop(agent), 0);
      assert.match(agent.output, /token was not revoked; it expires at its TTL/);
    });

    test('while the Workload API hangs', async () => {
      await using world = await FaultWorld.start();
      world.api.fault('FetchJWTSVID', { kind: 'hang' });
      const agent = await world.agent({ x509Svid: true });
      await eventually(
        () => Promise.resolve(world.api.calls.FetchJWTSVID > 0 ? true : undefined),
        'no call came',
      );
      assert.equal(await stop(agent), 0);
    });

    test('an init container that is stopped has not succeeded, and reports that', async () => {
      await using world = await FaultWorld.start();
      world.vault.faults.add({ match: { path: 'kv/app' }, respond: 'hang' });
      const agent = await world.agent({}, ['--once']);
      await world.vault.waitFor({ path: 'kv/app' }, 1, AbortSignal.timeout(20_000));
      assert.equal(await stop(agent), 21);
      assert.match(await agent.terminationMessage(), /ERR_AGENT_STOPPED/);
    });
  });

  suite('agent killed with SIGKILL', { concurrency: 2 }, () => {
    test('between login and first read: the successor does not log in again', async () => {
      await using world = await FaultWorld.start();
      const more = { stateDirectory: world.bench.stateDirectory };
      const heal = world.vault.faults.add({ match: { path: 'kv/app' }, respond: 'hang' });
      const killed = await world.agent(more);
      await eventually(() => savedToken(world), 'no state was saved');
      await killed.kill('SIGKILL');
      heal();
      const successor = await world.agent(more);
      await world.delivered(1);
      assert.equal(world.logins, 1);
      await successor.kill('SIGTERM');
    });

    test('again and again while files are swapped: each set is whole, and there is one login', async () => {
      await using world = await FaultWorld.start();
      const more = { stateDirectory: world.bench.stateDirectory };
      const watch = world.watch();
      for (let version = 1; version <= 4; version += 1) {
        await world.change(version);
        const agent = await world.agent(more);
        if (version % 2 === 0) {
          const seen = watch.sets.length;
          await eventually(
            () => Promise.resolve(watch.sets.length > seen ? true : undefined),
            'no new set',
          );
        } else {
          await agent.logged(/"operation":"read","outcome":"ok"/);
          if (version === 1) await world.delivered(1);
        }
        await agent.kill('SIGKILL');
      }
      await world.change(5);
      const last = await world.agent(more);
      await world.delivered(5);
      assert.equal(world.logins, 1);
      assert.ok((await watch.stop()) > 0);
      await last.kill('SIGTERM');
      assert.equal(world.vault.tokenAccessors.length, 1, 'the root token alone is left');
    });
  });

  suite('the application to be notified', { concurrency: 2 }, () => {
    for (const [name, answer] of [
      ['hanging', () => undefined],
      [
        'hanging in half an answer',
        (_: IncomingMessage, response: ServerResponse) => half(response),
      ],
      ['hanging in half a header', ({ socket }: IncomingMessage) => socket.write('HTTP/1.1 200 O')],
      ['crashing', ({ socket }: IncomingMessage) => socket.destroy()],
    ] as const) {
      test(`notify target ${name}: the files are refreshed all the same`, async () => {
        await using world = await FaultWorld.start();
        await using application = await startApplication(answer);
        const agent = await world.agent({ onChange: [`http:POST ${application.url}`] });
        const watch = world.watch();
        await world.delivered(1);
        for (const version of [2, 3]) {
          await world.change(version);
          await world.delivered(version);
        }
        await application.called;
        await world.search(agent);
        assert.ok((await watch.stop()) > 0);
        assert.equal(await stop(agent), 0);
      });
    }
  });

  suite('what is written', { concurrency: 2 }, () => {
    test('missing key that appears later: the error names template, place, path and keys', async () => {
      await using world = await FaultWorld.start();
      const file = {
        name: 'later',
        template: '{{#with (secret "kv/app")}}{{later}}{{/with}}',
        refresh: '1s',
      };
      const agent = await world.agent({ files: [...FILES, file] });
      await agent.logged(/ERR_TEMPLATE_MISSING_KEY/);
      const { errors } = JSON.parse((await agent.get('/status')).body) as {
        errors: { message: string }[];
      };
      assert.match(
        errors[0]?.message ?? '',
        /^later:1:30: later: there is no key later in kv\/app \(keys: user, password\)$/,
      );
      await world.search(agent);
      await world.vault.write('kv/app', { user: 'user-1', password: 'p 1', later: 'here' });
      await world.bench.until('later', (text) => text === 'here');
      assert.equal(world.logins, 1);
    });

    test('template syntax error, unknown helper in a running agent: the old set stays until it is mended', async () => {
      await using world = await FaultWorld.start();
      const path = join(world.bench.directory, 'mounted.hbs');
      const mount = async (text: string): Promise<void> => {
        await writeFile(`${path}.new`, text);
        await rename(`${path}.new`, path);
      };
      await mount('{{secret "kv/app#user"}}:1');
      const agent = await world.agent({
        files: [...FILES, { name: 'mounted', templateFile: path, refresh: '1s' }],
      });
      const watch = world.watch();
      await world.bench.until('mounted', (text) => text === 'user-1:1');
      for (const [broken, code, says] of [
        ['{{#with (secret "kv/app"', 'ERR_TEMPLATE_SYNTAX', /mounted\.hbs:1/],
        [
          '{{secrett "kv/app#user"}}',
          'ERR_TEMPLATE_HELPER',
          /mounted\.hbs:1.*did you mean.*secret/,
        ],
      ] as const) {
        await mount(broken);
        await agent.logged(new RegExp(`${code}.*template was not loaded`));
        const { errors } = JSON.parse((await agent.get('/status')).body) as AgentStatus;
        assert.equal(errors[0]?.code, code);
        assert.match(errors[0].message, says);
        assert.match(await world.bench.file('mounted'), /^user-1:/);
        assert.equal((await agent.get('/readyz')).status, 200);
        await mount(`{{secret "kv/app#user"}}:${code}`);
        await world.bench.until('mounted', (text) => text === `user-1:${code}`);
      }
      await eventually(
        async () => (/"phase": "ready"/.test((await agent.get('/status')).body) ? true : undefined),
        'it did not recover',
      );
      assert.equal(world.logins, 1);
      await world.search(agent);
      assert.ok((await watch.stop()) > 0);
    });

    test('path traversal and clashing names: the agent rejects them together, and touches nothing', async () => {
      await using world = await FaultWorld.start();
      const bad = ['../up', '/etc/vouchsafe', '..data', 'a', 'a/b'];
      const files = bad.map((path, index) => ({
        name: `f${index}`,
        path,
        secret: 'kv/app#user',
      }));
      const agent = await world.agent({ files });
      assert.equal(await agent.exit(), EXIT.config, agent.output);
      const message = await agent.terminationMessage();
      assert.match(message, /^ERR_CONFIG_INVALID/);
      for (const named of ['files[0].path', 'files[1].path', 'files[2].path', '"a"', '"a/b"']) {
        assert.ok(message.includes(named), `${named} is not in ${message}`);
      }
      await assert.rejects(readdir(world.bench.output), { code: 'ENOENT' });
      assert.deepEqual([world.logins, world.api.calls.FetchJWTSVID], [0, 0]);
    });

    test('a secret of 1 MB; unicode and binary values: byte for byte', async () => {
      await using world = await FaultWorld.start();
      const odd = `\u{1F511} \u0000\t\r\n"'\\ é\u0301 \u202E {{user}} \${HOME} $(id) --- #`;
      const big = `${'0123456789abcdef'.repeat(65_536)}|end`;
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
      const path = 'kv/Größe und Maß/a+b%2F';
      await world.vault.write(path, { odd, big, bytes: bytes.toString('base64') });
      const agent = await world.agent(
        {
          files: [
            { name: 'odd', secret: `${path}#odd`, format: 'raw' },
            { name: 'big', secret: `${path}#big`, format: 'raw' },
            { name: 'bytes', template: `{{base64Decode (secret "${path}#bytes")}}` },
            { name: 'all.json', secret: path, format: 'json' },
          ],
        },
        ['--once'],
      );
      assert.equal(await agent.exit(), 0, agent.output);
      assert.equal(await world.bench.file('odd'), odd);
      assert.equal(await world.bench.file('big'), big);
      assert.deepEqual(await readFile(join(world.bench.output, 'bytes')), bytes);
      assert.partialDeepStrictEqual(JSON.parse(await world.bench.file('all.json')), { odd, big });
      assert.ok(!agent.output.includes('0123456789abcdef'));
    });

    test('volume gone for a while: the files come back, with and without a change of values', async () => {
      await using world = await FaultWorld.start();
      const agent = await world.agent();
      await world.delivered(1);
      await rm(world.bench.output, { recursive: true });
      await world.delivered(1);
      await rename(world.bench.output, `${world.bench.output}.away`);
      await world.change(2);
      await world.delivered(2);
      await rm(world.bench.output, { recursive: true });
      await world.change(3);
      await world.delivered(3);
      assert.equal(world.logins, 1);
      assert.equal(await stop(agent), 0);
    });
  });
});
