/** Passwords that Vault changes by itself, by the rules of its database engine. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Harness, templateFile } from '../../helpers/agent-harness.ts';
import { failure } from '../../helpers/model-vault.ts';

const PATH = 'database/static-creds/app';
const PERIOD_MS = 30_000;
/** Vault looks for what is due every five seconds. */
const TICK_MS = 5000;
const STEP_MS = 500;

interface Rules {
  /** With a schedule the TTL is that of the next rotation even before the last has been done. */
  readonly isScheduled: boolean;
  /** How long after a full five seconds Vault looks. */
  readonly phaseMs: number;
  /** Vault cannot reach the database before. */
  readonly brokenUntilMs?: number;
}

/** An agent and a Vault that rotates. */
class Rotation {
  readonly harness: Harness;
  readonly rules: Rules;
  password = 0;
  rotatedAtMs = 0;
  #dueAtMs = PERIOD_MS;

  constructor(t: TestContext, rules: Rules) {
    this.harness = new Harness(t);
    this.rules = rules;
    this.harness.vault.define(PATH, { kind: 'answer', answer: () => this.#answer() });
  }

  get reads(): number {
    return this.harness.vault.count('fetch');
  }

  get #nowMs(): number {
    return this.harness.clock.monotonicMs();
  }

  #answer() {
    const { isScheduled } = this.rules;
    const next = isScheduled ? PERIOD_MS - (this.#nowMs % PERIOD_MS) : this.#dueAtMs - this.#nowMs;
    const ttl = Math.max(0, Math.round(next / 1000));
    return {
      data: { password: `p${this.password}`, last_vault_rotation: this.rotatedAtMs, ttl },
      validity: { kind: 'rotation', ttlMs: ttl * 1000 } as const,
    };
  }

  rotate(): void {
    this.password += 1;
    this.rotatedAtMs = this.#nowMs;
    const { isScheduled } = this.rules;
    this.#dueAtMs = this.#nowMs + PERIOD_MS - (isScheduled ? this.#nowMs % PERIOD_MS : 0);
  }

  /** Lets a step of time pass; gives how long the file has been behind. */
  async step(): Promise<number> {
    const { phaseMs, brokenUntilMs = 0 } = this.rules;
    await this.harness.clock.advance(STEP_MS);
    // Vault counts whole seconds, so that it may be early by less than one.
    const isDue = Math.floor(this.#dueAtMs / 1000) <= Math.floor(this.#nowMs / 1000);
    const isTick = this.#nowMs % TICK_MS === phaseMs;
    if (isTick && isDue && this.#nowMs >= brokenUntilMs) this.rotate();
    const isBehind = this.harness.writer.get('login') !== `p${this.password}`;
    return isBehind ? this.#nowMs - this.rotatedAtMs : 0;
  }

  /** The longest time that the file was behind. */
  async run(ms: number): Promise<number> {
    let longestMs = 0;
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      longestMs = Math.max(longestMs, await this.step());
    }
    return longestMs;
  }
}

const LOGIN = templateFile('login', `{{secret "${PATH}#password"}}`, { refresh: '1h' });

for (const isScheduled of [false, true]) {
  for (const phaseMs of [0, 500, 2500, 4500]) {
    const kind = isScheduled ? 'schedule' : 'period';
    test(`rotation by ${kind}, Vault ${phaseMs} ms late: new within two seconds, few reads`, async (t) => {
      const rotation = new Rotation(t, { isScheduled, phaseMs });
      await rotation.harness.start({ files: [LOGIN] });
      await rotation.run(1000);
      const lagMs = await rotation.run(4 * PERIOD_MS);
      assert.ok(rotation.password >= 3);
      assert.ok(lagMs < 2000, `${lagMs} ms behind`);
      assert.ok(rotation.reads <= 2 + 8 * rotation.password, `${rotation.reads} reads`);
    });
  }
}

test('a Vault that cannot rotate is read with growing intervals, and the rotation is noticed', async (t) => {
  const brokenUntilMs = 20 * PERIOD_MS;
  const rotation = new Rotation(t, { isScheduled: false, phaseMs: 0, brokenUntilMs });
  await rotation.harness.start({ files: [LOGIN] });
  await rotation.run(brokenUntilMs - 1000);
  assert.ok(rotation.reads <= 2 + 8 + 8 * Math.ceil(Math.log(20 * 4)), `${rotation.reads} reads`);
  // An eighth of the outage.
  const lagMs = await rotation.run(5 * PERIOD_MS);
  assert.ok(rotation.password > 0);
  assert.ok(lagMs < brokenUntilMs / 8 + 2000, `${lagMs} ms behind`);
});

test('a start between the time of a schedule and its rotation does not keep the old password', async (t) => {
  const rotation = new Rotation(t, { isScheduled: true, phaseMs: 4000 });
  while (rotation.harness.clock.monotonicMs() < PERIOD_MS + 1000) await rotation.step();
  await rotation.harness.start({ files: [LOGIN] });
  const lagMs = await rotation.run(20_000);
  assert.equal(rotation.password, 1);
  assert.ok(lagMs <= 6000, `${lagMs} ms behind`);
});

test('a read that fails when the rotation is due is tried again within seconds', async (t) => {
  const rotation = new Rotation(t, { isScheduled: true, phaseMs: 0 });
  await rotation.harness.start({ files: [LOGIN] });
  const { vault, clock } = rotation.harness;
  const downMs = [PERIOD_MS - 2000, PERIOD_MS + 1500] as const;
  vault.intercept = () => {
    const isDown = clock.monotonicMs() > downMs[0] && clock.monotonicMs() < downMs[1];
    return isDown ? failure('ERR_VAULT_UNREACHABLE') : undefined;
  };
  const lagMs = await rotation.run(PERIOD_MS + 20_000);
  assert.equal(rotation.password, 1);
  assert.ok(lagMs < 10_000, `${lagMs} ms behind`);
});

test('a TTL that counts down changes no file; a manual rotation is noticed by the refresh', async (t) => {
  const rotation = new Rotation(t, { isScheduled: false, phaseMs: 0 });
  const file = templateFile('login', `{{secret "${PATH}#password"}}`, { refresh: '10s' });
  const all = { name: 'all', secret: PATH, refresh: '10s' };
  await rotation.harness.start({ files: [file, all] });
  await rotation.run(30_000);
  assert.equal(rotation.harness.writer.swaps, 1);
  rotation.rotate();
  assert.ok((await rotation.run(15_000)) <= 10_000);
  assert.equal(rotation.harness.writer.swaps, 2);
});
