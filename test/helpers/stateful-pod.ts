/** A pod whose agents follow each other, on a test's clock. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { StateFile } from '../../src/agent/index.ts';
import { Harness, templateFile, type Running } from './agent-harness.ts';
import { tempDirectory } from './temp-directory.ts';
import { until } from './until.ts';

/** One minute, in milliseconds. */
export const MINUTE_MS = 60_000;

/** A file of a plain value, and one of a database user. */
export const FILES = [
  templateFile('kv', '{{#with (secret "kv/app")}}{{a}}{{/with}}'),
  templateFile('db', '{{#with (secret "database/creds/app")}}{{username}}{{/with}}'),
];

/** A pod: its agents share the state directory, the volume and the clock of the machine. */
export class StatefulPod extends Harness {
  readonly directory: string;

  constructor(t: TestContext) {
    super(t);
    this.directory = join(tempDirectory(t), 'state');
    this.vault.put('kv/app', { a: '1' });
    this.vault.define('database/creds/app', { kind: 'dynamic', ttlMs: 60 * MINUTE_MS });
  }

  get stateText(): string {
    return readFileSync(join(this.directory, 'state.json'), 'utf8');
  }

  stateFile(): StateFile {
    return new StateFile(this.directory, this.clock);
  }

  /** An init container that writes everything once. */
  async init(document: Readonly<Record<string, unknown>> = {}): Promise<Running> {
    const agent = this.agent({ files: FILES, ...document }, this.stateFile());
    const running = await this.run((a, signal) => a.runOnce(signal), agent);
    await until(() => running.outcome !== undefined);
    assert.deepEqual(running.outcome, { error: undefined });
    return running;
  }

  /** A sidecar, or the agent of native mode. */
  async sidecar(document: Readonly<Record<string, unknown>> = {}): Promise<Running> {
    const running = await this.start({ files: FILES, ...document }, this.stateFile());
    await until(() => running.outcome !== undefined || running.agent.isDelivered);
    return running;
  }
}
