/** What the agent does when the wall clock of its node jumps while it runs. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeJwt } from 'jose';
import { startWorkloadApi } from '../../../src/dev/workload-api/index.ts';
import { FaultWorld, FILES, SPIFFE_ID } from '../../helpers/fault-world.ts';

const PROGRAM = fileURLToPath(new URL('../../helpers/wired-agent.ts', import.meta.url));
const HOUR_MS = 3_600_000;

/** Half of it is when an SVID is due. */
const JWT_TTL_MS = 6000;

suite('wall clock', { concurrency: 2 }, () => {
  for (const [name, jumpMs] of [
    ['jumping an hour back', -HOUR_MS],
    ['jumping an hour forward', HOUR_MS],
  ] as const) {
    test(`wall clock ${name} and put right: nothing is forgotten, nothing asked for in a loop`, async () => {
      await using world = await FaultWorld.start();
      await using api = await startWorkloadApi({
        identities: [{ spiffeId: SPIFFE_ID }],
        jwtTtlMs: JWT_TTL_MS,
      });
      const agent = await world.agent(
        {
          spiffe: { socket: api.address },
          ...{ vault: undefined, auth: undefined },
          files: [{ name: 'cloud', jwtSvid: ['cloud'] }],
        },
        [],
        { program: PROGRAM, env: { VOUCHSAFE_TEST_JUMP_MS: String(jumpMs) } },
      );
      const started = performance.now();
      let token = world.hunt.plant(await world.bench.until('cloud', () => true));
      agent.send('SIGUSR2');
      if (jumpMs > 0) {
        await agent.logged(/ERR_SPIFFE_SVID_INVALID.*expired at .* by the clock of this node/);
        assert.equal(await world.bench.file('cloud'), token, 'the last good one stays');
        agent.send('SIGUSR2');
      }
      for (let rotation = 0; rotation < 2; rotation += 1) {
        const known = token;
        token = world.hunt.plant(await world.bench.until('cloud', (text) => text !== known));
        const { exp = 0 } = decodeJwt(token);
        assert.ok(exp * 1000 > Date.now(), 'what is in the file is good');
      }
      if (jumpMs < 0) agent.send('SIGUSR2');
      const bound = 4 + (performance.now() - started) / (JWT_TTL_MS / 2);
      assert.ok(api.calls.FetchJWTSVID <= bound, `${api.calls.FetchJWTSVID} calls`);
      await world.search(agent);
      await agent.kill('SIGTERM');
      assert.equal(await agent.exit(), 0);
    });

    test(`wall clock ${name}: secrets are read as before, with one login`, async () => {
      await using world = await FaultWorld.start();
      const env = { VOUCHSAFE_TEST_JUMP_MS: String(jumpMs) };
      const agent = await world.agent({ files: FILES }, [], { program: PROGRAM, env });
      world.watch();
      await world.delivered(1);
      for (const version of [2, 3]) {
        agent.send('SIGUSR2');
        const reads = world.reads;
        await world.change(version);
        await world.delivered(version);
        assert.ok(world.reads - reads <= 4, `${world.reads - reads} reads for one change`);
      }
      assert.equal(world.logins, 1);
      await world.search(agent);
    });
  }
});
