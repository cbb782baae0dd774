/**
 * The system calls of a process that only computes, reads and writes open descriptors, and exits; and the seccomp filter
 * that allows no others.
 *
 * @see https://docs.kernel.org/userspace-api/seccomp_filter.html
 */

/** An architecture with known system calls. Both are little-endian. */
export interface Machine {
  /** `AUDIT_ARCH_…` of linux/audit.h. Calls of another ABI, such as 32 bits, have other numbers. */
  readonly audit: number;
  /** Calls from this number on belong to another ABI, too (x32). */
  readonly foreignFrom?: number;
  /** The column of {@link ALLOWED}. */
  readonly column: 0 | 1;
  /** The calls that lock the process down. */
  readonly prctl: number;
  readonly seccomp: number;
}

/** By `process.arch`. */
export const MACHINES: Readonly<Record<string, Machine>> = {
  x64: { audit: 0xc000_003e, foreignFrom: 0x4000_0000, column: 0, prctl: 157, seccomp: 317 },
  arm64: { audit: 0xc000_00b7, column: 1, prctl: 167, seccomp: 277 },
};

/** Numbers on x86_64 and on aarch64; missing if there is no such call. */
type Numbers = readonly [x64: number, arm64?: number];

/**
 * The calls of Node, V8, libuv and the C library after their start. Calls that take a path, create a descriptor, thread or
 * process, or name another process are not included. Nor is `io_uring_enter`: if the system allows it, libuv has created
 * rings for its event loops, which are useless from then on. A process that returns to its event loop, or exits
 * normally, ends by SIGABRT there.
 */
const ALLOWED: Readonly<Record<string, Numbers>> = {
  // Open descriptors.
  read: [0, 63],
  write: [1, 64],
  readv: [19, 65],
  writev: [20, 66],
  close: [3, 57],
  fstat: [5, 80],
  epoll_ctl: [233, 21],
  epoll_wait: [232],
  epoll_pwait: [281, 22],
  poll: [7],
  ppoll: [271, 73],
  // Memory; V8 makes the pages of compiled code executable.
  mmap: [9, 222],
  mprotect: [10, 226],
  munmap: [11, 215],
  mremap: [25, 216],
  madvise: [28, 233],
  brk: [12, 214],
  // Existing threads.
  futex: [202, 98],
  membarrier: [324, 283],
  sched_yield: [24, 124],
  sched_getaffinity: [204, 123],
  sched_getparam: [143, 121],
  sched_getscheduler: [145, 120],
  getpid: [39, 172],
  gettid: [186, 178],
  getcpu: [309, 168],
  getrusage: [98, 165],
  exit: [60, 93],
  exit_group: [231, 94],
  // Signals to itself, mainly CPU exceptions.
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  rt_sigreturn: [15, 139],
  sigaltstack: [131, 132],
  restart_syscall: [219, 128],
  // Time and randomness.
  nanosleep: [35, 101],
  clock_nanosleep: [230, 115],
  clock_gettime: [228, 113],
  clock_getres: [229, 114],
  gettimeofday: [96, 169],
  time: [201],
  getrandom: [318, 278],
};

/** Only reads and sets flags of descriptors: `F_GETFD`, `F_GETFL`, `F_SETFL`. */
const FCNTL: Numbers = [72, 25];
const FCNTL_COMMANDS = [1, 3, 4];

/** A signal to a thread of this process, as `abort` sends it. */
const TGKILL: Numbers = [234, 131];

/**
 * `fstat` in newer C libraries, which also takes a path. Node checks its descriptors when it exits, and accepts only
 * this error.
 */
const NEWFSTATAT: Numbers = [262, 79];
const EBADF = 9;

/** The answer to all other calls: code that tries a newer call falls back or fails, and the process is not killed. */
const EPERM = 1;

/** One instruction of four numbers: `struct sock_filter`. */
type Instruction = readonly [code: number, then: number, otherwise: number, value: number];

const INSTRUCTION_BYTES = 8;
const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const RETURN = 0x06;
const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;

/** Offsets in `struct seccomp_data`; of an argument, that of its lower half. */
const NUMBER = 0;
const AUDIT = 4;
const argument = (index: number): number => 16 + 8 * index;

const answer = (errno: number): Instruction => [RETURN, 0, 0, ERRNO | errno];
const allow: Instruction = [RETURN, 0, 0, ALLOW];

/** The filter for one process; `pid` is its own. */
export function filterProgram(machine: Machine, pid: number): ArrayBuffer {
  const { audit, foreignFrom, column } = machine;
  const when = (numbers: Numbers, ...then: readonly Instruction[]): readonly Instruction[] => {
    const number = numbers[column];
    return number === undefined ? [] : [[JUMP_IF_EQUAL, 0, then.length, number], ...then];
  };
  const whenOneOf = (numbers: Numbers, index: number, values: readonly number[]) =>
    when(
      numbers,
      [LOAD, 0, 0, argument(index)],
      ...values.flatMap((value): Instruction[] => [[JUMP_IF_EQUAL, 0, 1, value], allow]),
      answer(EPERM),
    );
  return encode([
    [LOAD, 0, 0, AUDIT],
    [JUMP_IF_EQUAL, 1, 0, audit],
    answer(EPERM),
    [LOAD, 0, 0, NUMBER],
    ...(foreignFrom === undefined ? [] : [atLeast(foreignFrom), answer(EPERM)]),
    ...Object.values(ALLOWED).flatMap((numbers) => when(numbers, allow)),
    ...whenOneOf(FCNTL, 1, FCNTL_COMMANDS),
    ...whenOneOf(TGKILL, 0, [pid]),
    ...when(NEWFSTATAT, answer(EBADF)),
    answer(EPERM),
  ]);
}

function atLeast(number: number): Instruction {
  return [JUMP_IF_AT_LEAST, 0, 1, number];
}

function encode(program: readonly Instruction[]): ArrayBuffer {
  const bytes = new ArrayBuffer(program.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes);
  for (const [index, [code, then, otherwise, value]] of program.entries()) {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, then);
    view.setUint8(at + 3, otherwise);
    view.setUint32(at + 4, value, true);
  }
  return bytes;
}
