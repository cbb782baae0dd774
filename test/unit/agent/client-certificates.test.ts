/** The X.509-SVID as the client certificate of requests to Vault. */
import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { failure } from '../../helpers/model-vault.ts';
import { MINUTE_MS, StatefulPod } from '../../helpers/stateful-pod.ts';

const CERT = { auth: { method: 'cert', role: 'web' } };
const SPIFFE = { auth: { method: 'spiffe', role: 'web', svid: 'x509' } };
/** SIGKILL runs no clean-up: an agent that keeps its tokens at its end stands for it. */
const KILLED = { revokeOnExit: false };

/** A pod whose first agent was killed. The SVID that it had is gone, as a new process has none. */
async function restarted(t: TestContext, login: object): Promise<StatefulPod> {
  const pod = new StatefulPod(t);
  pod.identity.rotate('one');
  const killed = await pod.sidecar({ ...login, ...KILLED });
  await killed.stop();
  pod.identity.withdraw();
  pod.vault.presented.length = 0;
  pod.vault.calls.length = 0;
  return pod;
}

suite('a resumed session', () => {
  for (const [name, login] of Object.entries({ cert: CERT, spiffe: SPIFFE })) {
    test(`${name}: no request comes before the certificate`, async (t) => {
      const pod = await restarted(t, login);
      const early: string[] = [];
      pod.vault.intercept = ({ operation }) => {
        if (pod.vault.presented.length === 0) early.push(operation);
        return undefined;
      };
      const starting = pod.sidecar(login);
      await pod.clock.advance(1000);
      assert.deepEqual(pod.vault.calls, [], 'the Workload API has no SVID yet');
      pod.identity.rotate('two');
      await starting;
      assert.deepEqual(early, []);
      assert.deepEqual([...new Set(pod.vault.presented)], ['svid two']);
      assert.equal(pod.vault.count('login'), 0);
      assert.ok(pod.vault.count('fetch') > 0);
    });

    test(`${name}: without an SVID it is used after 10 s, and presents the SVID when it comes`, async (t) => {
      const pod = await restarted(t, login);
      const starting = pod.sidecar(login);
      await pod.clock.advance(9000);
      assert.deepEqual(pod.vault.calls, []);
      await pod.clock.advance(2000);
      const running = await starting;
      assert.ok(running.agent.isDelivered);
      assert.deepEqual([pod.vault.count('login'), pod.vault.presented], [0, []]);
      pod.identity.rotate('late');
      await pod.clock.advance(1000);
      assert.deepEqual([pod.vault.count('login'), pod.vault.presented], [0, ['svid late']]);
    });
  }

  test('a stop ends the wait', async (t) => {
    const pod = await restarted(t, SPIFFE);
    const running = await pod.start({ ...SPIFFE, files: [], x509Svid: true }, pod.stateFile());
    await running.stop();
    assert.deepEqual(running.outcome, { error: undefined });
    assert.equal(pod.clock.sleeping, 0);
  });

  test('an SVID that will never come does not end the agent', async (t) => {
    const pod = await restarted(t, SPIFFE);
    pod.identity.breakOff(failure('ERR_SPIFFE_UNIMPLEMENTED'));
    const running = await pod.sidecar(SPIFFE);
    assert.equal(running.outcome, undefined);
    assert.deepEqual([pod.vault.count('login'), pod.vault.presented], [0, []]);
  });

  test('other methods do not wait, and present nothing', async (t) => {
    const pod = await restarted(t, { auth: { method: 'spiffe', role: 'web' } });
    await pod.sidecar({ auth: { method: 'spiffe', role: 'web', svid: 'jwt' } });
    assert.equal(pod.vault.count('login'), 0, 'the default is the same identity');
    pod.identity.rotate('two');
    await pod.clock.advance(MINUTE_MS);
    assert.deepEqual(pod.vault.presented, []);
  });

  test('another kind of SVID is another login', async (t) => {
    const pod = await restarted(t, { auth: { method: 'spiffe', role: 'web' } });
    pod.identity.rotate('one');
    await pod.sidecar(SPIFFE);
    assert.equal(pod.vault.count('login'), 1);
  });
});

test('spiffe: a rotated SVID is presented without another login', async (t) => {
  const pod = new StatefulPod(t);
  pod.identity.rotate('one');
  await pod.sidecar(SPIFFE);
  const credential = pod.writer.get('db');
  for (const name of ['two', 'three']) {
    pod.identity.rotate(name);
    await pod.clock.advance(MINUTE_MS);
    assert.equal(pod.vault.presented.at(-1), `svid ${name}`);
  }
  await pod.clock.advance(40 * MINUTE_MS);
  assert.ok(pod.vault.count('renewToken') > 0);
  assert.deepEqual([pod.vault.count('login'), pod.writer.get('db')], [1, credential]);
});

test('spiffe: a token that Vault does not renew with the rotated SVID is replaced', async (t) => {
  const pod = new StatefulPod(t);
  pod.identity.rotate('one');
  await pod.sidecar(SPIFFE);
  pod.identity.rotate('two');
  pod.vault.intercept = ({ operation }) =>
    operation === 'renewToken' ? failure('ERR_VAULT_DENIED') : undefined;
  for (let passed = 0; passed < 60; passed += 1) {
    await pod.clock.advance(MINUTE_MS);
    assert.ok(pod.vault.isGood(pod.writer.get('db') ?? ''), `minute ${passed}`);
  }
  assert.equal(pod.vault.count('login'), 2);
});
