import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode, VouchsafeError } from '../../../src/core/index.ts';
import { envFile, MAX_VALUE_BYTES } from '../../../src/agent/env-file.ts';
import { readVariable } from '../../helpers/env-file-model.ts';
import { anyValue, GOOD_VALUES } from '../../helpers/variable-values.ts';

const NAME = 'DB_PASSWORD';

for (const value of GOOD_VALUES) {
  test(`the kubelet reads what was written: ${JSON.stringify(value.slice(0, 30))}`, () => {
    assert.equal(readVariable(envFile(NAME, value), NAME), value);
    assert.equal(readVariable(envFile(NAME, Buffer.from(value)), NAME), value);
  });
}

const BAD: readonly (readonly [value: string | Uint8Array, problem: RegExp])[] = [
  ['', /is empty/],
  ["it's", /has a single quote/],
  ['a\r\nb', /carriage return before a line feed/],
  ['a\0b', /NUL/],
  ['\ud800', /well-formed/],
  [Buffer.from([0x61, 0xff]), /not valid UTF-8/],
  [Buffer.alloc(0), /is empty/],
  ['x'.repeat(MAX_VALUE_BYTES + 1), /has 32769 bytes; the maximum is 32768/],
  ['ü'.repeat(MAX_VALUE_BYTES / 2 + 1), /has 32770 bytes/],
];

for (const [value, problem] of BAD) {
  test(`rejected with the name of the variable: ${problem.source}`, () => {
    assert.throws(
      () => envFile(NAME, value),
      (error: unknown) => {
        assert.ok(error instanceof VouchsafeError && hasCode(error, 'ERR_ENV_VALUE'));
        assert.match(error.message, /the value of the variable DB_PASSWORD /);
        assert.match(error.message, problem);
        return true;
      },
    );
  });
}

test('no message holds the value', () => {
  assert.throws(
    () => envFile(NAME, "planted'value"),
    (error: unknown) => !String(error).includes('planted'),
  );
});

test('every value is read as it is, or rejected before the kubelet sees it', () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      let file: Uint8Array;
      try {
        file = envFile(NAME, value);
      } catch (error) {
        assert.ok(hasCode(error, 'ERR_ENV_VALUE'));
        return;
      }
      assert.equal(readVariable(file, NAME), value);
      assert.equal(readVariable(file, 'OTHER'), '');
    }),
    { numRuns: 2000 },
  );
});

test('nothing is rejected that the kubelet would read', () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      const file = Buffer.from(`${NAME}='${value}'\n`);
      const isReadable = value !== '' && !value.includes('\0') && reads(file) === value;
      const isWritten = writes(value);
      assert.equal(isWritten, isReadable);
    }),
    { numRuns: 2000 },
  );
});

function reads(file: Uint8Array): string | undefined {
  try {
    return readVariable(file, NAME);
  } catch {
    return undefined;
  }
}

function writes(value: string): boolean {
  try {
    return envFile(NAME, value).byteLength > 0;
  } catch {
    return false;
  }
}
