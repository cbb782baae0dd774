/**
 * Locks this process up for good, by the kernel: whatever runs in it from then on can compute, use what is open, and end.
 * It is for the child processes of sandboxed.ts, which hear nothing before they have reported it.
 *
 * It takes no privilege, and no program that would do it from outside.
 */
import { writeSync } from 'node:fs';
import { filterProgram, MACHINES, type Machine } from './seccomp.ts';

/** The first line that such a process writes to stderr: this, or the other one and what is lacking. */
const LOCKED = 'locked up';
const UNLOCKED = 'not locked up: ';
const STDERR = 2;

/** Operations of prctl(2), and SIGKILL. */
const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const SIGKILL = 9;

/** The operation of seccomp(2), and its flag: for all threads, or for none. */
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;

/** `struct sock_fprog`: the number of instructions, and their address. */
const PROGRAM_BYTES = 16;
const ADDRESS_OFFSET = 8;
const INSTRUCTION_BYTES = 8;

/** True where {@link lockDown} ought to work. */
export function canLockDown(): boolean {
  return machine() !== undefined;
}

/**
 * Locks this process up, all threads of it, and has it end with the one that started it, whose id is `parent`. Reports
 * on stderr how that went. Call it before the first input is read and after the last file has been opened.
 *
 * @throws Error where the process that started this one has ended.
 */
export function lockDown(parent: number): void {
  const lacks = applyLockdown(parent);
  // Node's own permissions were needed to get here. Unknown to its types, there are none without --permission.
  const permission = process.permission as NodeJS.ProcessPermission | undefined;
  for (const scope of ['ffi', 'fs.read']) permission?.drop(scope);
  writeSync(STDERR, `${lacks === '' ? LOCKED : `${UNLOCKED}${lacks}`}\n`);
}

/** What such a process lacks, '' for nothing, by what it wrote to stderr; undefined as long as it has not reported. */
export function parseReport(stderr: string): string | undefined {
  for (const line of stderr.split('\n').slice(0, -1)) {
    if (line === LOCKED) return '';
    if (line.startsWith(UNLOCKED)) return line.slice(UNLOCKED.length);
  }
  return undefined;
}

/** What is lacking in the end. */
function applyLockdown(parent: number): string {
  const own = machine();
  if (own === undefined) return `there is no way on ${process.platform} ${process.arch}`;
  let call: SystemCall;
  try {
    call = systemCall();
  } catch (error) {
    return `Node has no foreign functions: ${error instanceof Error ? error.message : ''}`;
  }
  const prctl = (option: number, value: number): boolean =>
    call(own.prctl, option, value, 0n) === 0n;
  if (!prctl(PR_SET_PDEATHSIG, SIGKILL)) return 'prctl(PR_SET_PDEATHSIG) fails';
  // It may have ended before: nobody tells then.
  if (process.ppid !== parent) throw new Error('the process that started this one has ended');
  if (!prctl(PR_SET_DUMPABLE, 0)) return 'prctl(PR_SET_DUMPABLE) fails';
  if (!prctl(PR_SET_NO_NEW_PRIVS, 1)) return 'prctl(PR_SET_NO_NEW_PRIVS) fails';
  return installFilter(own, call);
}

function installFilter(own: Machine, call: SystemCall): string {
  const { getRawPointer } = process.getBuiltinModule('node:ffi');
  const instructions = filterProgram(own, process.pid);
  const program = new ArrayBuffer(PROGRAM_BYTES);
  const view = new DataView(program);
  view.setUint16(0, instructions.byteLength / INSTRUCTION_BYTES, true);
  view.setBigUint64(ADDRESS_OFFSET, getRawPointer(instructions), true);
  const address = getRawPointer(program);
  const flags = SECCOMP_FILTER_FLAG_TSYNC;
  // Neither an error (-1) nor the thread that could not follow.
  const isInstalled = call(own.seccomp, SECCOMP_SET_MODE_FILTER, flags, address) === 0n;
  return isInstalled ? '' : 'seccomp(SECCOMP_SET_MODE_FILTER) fails';
}

/** `syscall(2)` with a number and three arguments, the last of which may be an address. */
type SystemCall = (number: number, first: number, second: number, third: bigint) => bigint;

/** @throws Error where Node has no such thing, or does not permit it. */
function systemCall(): SystemCall {
  const { DynamicLibrary } = process.getBuiltinModule('node:ffi');
  const word = 'int64';
  const call = new DynamicLibrary(null).getFunction('syscall', {
    return: word,
    arguments: [word, word, word, word, word, word],
  });
  return (number, first, second, third) =>
    call(BigInt(number), BigInt(first), BigInt(second), third, 0n, 0n);
}

function machine(): Machine | undefined {
  return process.platform === 'linux' ? MACHINES[process.arch] : undefined;
}
