import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Diagnostics } from '../../../src/admission/diagnostics.ts';

const ROLE = { path: 'vouchsafe.dev/role', message: 'is not a role' };
const VAULT = {
  path: 'vouchsafe.dev/vault',
  message: 'the installation does not allow an address',
};

test('diagnostics are clean until a problem is reported', () => {
  const diagnostics = new Diagnostics();
  diagnostics.warn('vouchsafe.dev/port has no effect');
  diagnostics.invalid();
  diagnostics.forbid();
  assert.equal(diagnostics.isClean, true);
  assert.deepEqual(diagnostics.problems, []);
  assert.deepEqual(diagnostics.warnings, ['vouchsafe.dev/port has no effect']);
});

test('a problem prevents the plan; only what the installation does not allow forbids it', () => {
  const diagnostics = new Diagnostics();
  diagnostics.invalid(ROLE);
  assert.deepEqual([diagnostics.isClean, diagnostics.isForbidden], [false, false]);
  const forbidden = new Diagnostics();
  forbidden.forbid(VAULT);
  assert.deepEqual([forbidden.isClean, forbidden.isForbidden], [false, true]);
});

test('what the installation does not allow is last, whenever it was reported', () => {
  const diagnostics = new Diagnostics();
  diagnostics.forbid(VAULT);
  diagnostics.invalid(ROLE, ROLE);
  assert.deepEqual(diagnostics.problems, [ROLE, ROLE, VAULT]);
});

test('a list that was read does not grow with later reports', () => {
  const diagnostics = new Diagnostics();
  const { problems, warnings } = diagnostics;
  diagnostics.invalid(ROLE);
  diagnostics.warn('late');
  assert.deepEqual([problems, warnings], [[], []]);
});
