/**
 * Locks this process down permanently, by seccomp: its code can compute, use open descriptors, and exit. For the child
 * processes of sandboxed.ts, which receive no input before they have reported it.
 *
 * Requires neither privileges nor another program.
 */
import { writeSync } from 'node:fs';
import { filterProgram, MACHINES, type Machine } from './seccomp.ts';

/** The first line of such a process on stderr: locked down, or not and the reason. */
const LOCKED = 'locked down';
const UNLOCKED = 'not locked down: ';
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

/** True on platforms where {@link lockDown} is expected to work. */
export function canLockDown(): boolean {
  return machine() !== undefined;
}

/**
 * Locks all threads of this process down, and makes it end with its parent, whose PID is `parent`. Reports the result
 * on stderr. Call it before the first input is read and after the last file has been opened.
 *
 * @throws Error if the parent has ended.
 */
export function lockDown(parent: number): void {
  const lacks = applyLockdown(parent);
  // Node's own permissions were needed up to here. Contrary to its type, the property is undefined without --permission.
  const permission = process.permission as NodeJS.ProcessPermission | undefined;
  for (const scope of ['ffi', 'fs.read']) permission?.drop(scope);
  writeSync(STDERR, `${lacks === '' ? LOCKED : `${UNLOCKED}${lacks}`}\n`);
}

/** Parses stderr of such a process: why it is not locked down, '' if it is; undefined before it has reported. */
export function parseReport(stderr: string): string | undefined {
  for (const line of stderr.split('\n').slice(0, -1)) {
    if (line === LOCKED) return '';
    if (line.startsWith(UNLOCKED)) return line.slice(UNLOCKED.length);
  }
  return undefined;
}

/** The reason of a failure; '' on success. */
function applyLockdown(parent: number): string {
  const own = machine();
  if (own === undefined) return `${process.platform} ${process.arch} is not supported`;
  let call: SystemCall;
  try {
    call = systemCall();
  } catch (error) {
    return `Node has no foreign functions: ${error instanceof Error ? error.message : ''}`;
  }
  const prctl = (option: number, value: number): boolean =>
    call(own.prctl, option, value, 0n) === 0n;
  if (!prctl(PR_SET_PDEATHSIG, SIGKILL)) return 'prctl(PR_SET_PDEATHSIG) fails';
  // If it ended before the prctl, no signal is sent.
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
  // Otherwise it is -1 for an error, or the ID of a thread that could not be synchronized.
  const isInstalled = call(own.seccomp, SECCOMP_SET_MODE_FILTER, flags, address) === 0n;
  return isInstalled ? '' : 'seccomp(SECCOMP_SET_MODE_FILTER) fails';
}

/** `syscall(2)` with a number and three arguments; the last may be an address. */
type SystemCall = (number: number, first: number, second: number, third: bigint) => bigint;

/** @throws Error if Node has no foreign functions, or does not permit them. */
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
