import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ERROR_TABLE,
  EXIT,
  exitCodeOf,
  formatProblems,
  codeOf,
  hasCode,
  LOG_LEVELS,
  NO_LOGGER,
  NO_METRICS,
  problemsError,
  toVouchsafeError,
  VouchsafeError,
} from '../../../src/core/index.ts';

test('every row of the table is complete', () => {
  const exits: readonly number[] = Object.values(EXIT);
  for (const [code, rule] of Object.entries(ERROR_TABLE)) {
    assert.match(code, /^ERR(_[A-Z0-9]+)+$/);
    assert.ok(['never', 'backoff', 'slow', 'reauth'].includes(rule.retry), code);
    assert.ok(LOG_LEVELS.includes(rule.level), code);
    assert.ok(exits.includes(rule.exit) && rule.exit !== EXIT.ok, code);
    assert.match(rule.meaning, /^[A-Z].*[.?]$/, code);
  }
});

test('exit codes differ', () => {
  assert.equal(new Set(Object.values(EXIT)).size, Object.keys(EXIT).length);
});

test('an error answers for itself by the table', () => {
  const cause = new Error('foreign');
  const error = new VouchsafeError('ERR_VAULT_SEALED', 'Vault is sealed', {
    cause,
    details: { address: 'https://vault.example:8200' },
    retryAfterMs: 5000,
  });
  assert.equal(error.name, 'VouchsafeError');
  assert.equal(error.retry, 'backoff');
  assert.equal(error.level, 'warn');
  assert.equal(error.exitCode, EXIT.vault);
  assert.equal(error.retryAfterMs, 5000);
  assert.equal(error.cause, cause);
  assert.deepEqual(JSON.parse(JSON.stringify(error)), {
    code: 'ERR_VAULT_SEALED',
    message: 'Vault is sealed',
    address: 'https://vault.example:8200',
  });
  assert.equal('cause' in new VouchsafeError('ERR_BUG', 'x'), false);
});

test('a foreign error becomes a bug without its text', () => {
  for (const foreign of [new RangeError('hush'), 'hush', undefined, { message: 'hush' }]) {
    const error = toVouchsafeError(foreign);
    assert.equal(error.code, 'ERR_BUG');
    assert.equal(error.cause, foreign);
    assert.doesNotMatch(`${error.message} ${JSON.stringify(error)}`, /hush/);
  }
  const ours = new VouchsafeError('ERR_USAGE', 'x');
  assert.equal(toVouchsafeError(ours), ours);
});

test('codes are asked for by name', () => {
  const error = new VouchsafeError('ERR_USAGE', 'x');
  assert.ok(hasCode(error, 'ERR_BUG', 'ERR_USAGE'));
  assert.ok(!hasCode(error, 'ERR_BUG'));
  assert.ok(!hasCode({ code: 'ERR_USAGE' }, 'ERR_USAGE'));
  assert.equal(exitCodeOf(error), EXIT.usage);
  assert.equal(exitCodeOf(new Error('x')), EXIT.bug);
});

test('all problems are reported together', () => {
  const one = { path: 'files[0].mode', message: 'must be octal' };
  const other = { path: 'vault', message: 'is missing' };
  assert.equal(formatProblems([one, other]), 'files[0].mode: must be octal\nvault: is missing');
  const single = problemsError('ERR_CONFIG_INVALID', 'the document is wrong', [one]);
  assert.equal(single.message, 'the document is wrong: files[0].mode: must be octal');
  const both = problemsError('ERR_CONFIG_INVALID', 'the document is wrong', [one, other]);
  assert.equal(
    both.message,
    'the document is wrong:\n  - files[0].mode: must be octal\n  - vault: is missing',
  );
  assert.deepEqual(both.details['problems'], ['files[0].mode: must be octal', 'vault: is missing']);
});

test('the silent logger and metrics take everything and say nothing', () => {
  for (const level of LOG_LEVELS) NO_LOGGER.child({ a: 1 })[level]('x');
  NO_METRICS.counter('a', 'b').add();
  NO_METRICS.gauge('a', 'b').set(1);
  NO_METRICS.gauge('a', 'b').remove({});
  NO_METRICS.histogram('a', 'b', []).observe(1);
});

test('the code of an error of the system; none for anything else', () => {
  const error = Object.assign(new Error('no such file'), { code: 'ENOENT' });
  assert.equal(codeOf(error), 'ENOENT');
  for (const other of [
    new Error('x'),
    { code: 'ENOENT' },
    Object.assign(new Error('x'), { code: 5 }),
    'ENOENT',
    undefined,
  ]) {
    assert.equal(codeOf(other), undefined);
  }
});
