import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { filterProgram, MACHINES } from '../../../src/platform/seccomp.ts';
import { FORBIDDEN, PERMITTED } from '../../helpers/system-calls.ts';

const PID = 4711;
const ALLOW = 0x7fff_0000;
const EPERM = 0x0005_0001;
const EBADF = 0x0005_0009;

/** AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, AUDIT_ARCH_ARM. */
const AUDIT = { x64: 0xc000_003e, arm64: 0xc000_00b7, i386: 0x4000_0003, arm: 0x4000_0028 };

interface Call {
  readonly audit: number;
  readonly number: number;
  readonly words?: readonly number[];
}

/** What the kernel would make of a call: the instructions of classic BPF that the program may have. */
function decide(program: ArrayBuffer, { audit, number, words = [] }: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, audit, true);
  for (const [index, word] of words.entries()) data.setUint32(16 + 8 * index, word, true);
  const view = new DataView(program);
  let register = 0;
  for (let at = 0; at < program.byteLength; at += 8) {
    const value = view.getUint32(at + 4, true);
    const jump = (isTrue: boolean): number => 8 * view.getUint8(at + (isTrue ? 2 : 3));
    switch (view.getUint16(at, true)) {
      case 0x20:
        assert.ok(value <= 60 && value % 4 === 0);
        register = data.getUint32(value, true);
        break;
      case 0x15:
        at += jump(register === value);
        break;
      case 0x35:
        at += jump(register >= value);
        break;
      case 0x06:
        return value;
      default:
        assert.fail('an instruction that is not known');
    }
  }
  return assert.fail('the end of the program');
}

for (const name of ['x64', 'arm64'] as const) {
  const machine = MACHINES[name] ?? assert.fail();
  const program = filterProgram(machine, PID);
  const column = machine.column;
  const call = (number: number, ...words: readonly number[]): number =>
    decide(program, { audit: AUDIT[name], number, words });

  describe(`the filter on ${name}`, () => {
    test('of all numbers that there are and may be, those on the list pass, and no others', () => {
      const passing = Array.from({ length: 2000 }, (_, number) => number).filter(
        (number) => call(number) === ALLOW,
      );
      assert.deepEqual(passing, PERMITTED[name]);
    });

    for (const [what, numbers] of Object.entries(FORBIDDEN)) {
      const number = numbers[column];
      if (number === null) continue;
      test(`${what} does not pass`, () => {
        assert.equal(call(number), EPERM);
        assert.equal(call(number, 1, 2, 3, 4, 5, 6), EPERM);
      });
    }

    test('a signal goes to the process itself alone', () => {
      const tgkill = [234, 131][column] ?? 0;
      assert.equal(call(tgkill, PID, 1, 6), ALLOW);
      for (const other of [0, 1, PID - 1, PID + 1, 0xffff_ffff]) {
        assert.equal(call(tgkill, other, PID, 9), EPERM);
      }
    });

    test('fcntl looks at flags and sets those of what is open; it makes no descriptor and chooses no owner', () => {
      const fcntl = [72, 25][column] ?? 0;
      const passing = Array.from({ length: 2000 }, (_, command) => command).filter(
        (command) => call(fcntl, 0, command) === ALLOW,
      );
      assert.deepEqual(passing, [1, 3, 4]);
    });

    test('a look at a path is answered as if the descriptor were not there', () => {
      assert.equal(call([262, 79][column] ?? 0), EBADF);
    });

    test('calls in the manner of other machines do not pass', () => {
      for (const audit of Object.values(AUDIT).filter((one) => one !== AUDIT[name])) {
        for (let number = 0; number < 500; number += 1) {
          assert.equal(decide(program, { audit, number }), EPERM);
        }
      }
      for (let number = 0; number < 600; number += 1) {
        assert.equal(call(0x4000_0000 + number), EPERM);
        assert.equal(call(0x8000_0000 + number), EPERM);
      }
    });

    test('the program is one that the kernel takes', () => {
      assert.ok(program.byteLength / 8 <= 4096);
    });
  });
}
