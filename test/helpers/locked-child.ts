/**
 * A program for `sandboxed` that tries by the C library itself, not by Node, what a child must not do. Its words are a
 * mode, and the parent's process id. It writes one line of JSON, and stays until its input ends.
 */
import { readSync, writeSync } from 'node:fs';
import { lockDown } from '../../src/platform/lockdown.ts';
import { FORBIDDEN } from './system-calls.ts';

/**
 * `locked` as agreed; `free` says that it is not; `late` listens before it locks itself up; `silent` never says that
 * it has.
 */
export type Mode = 'locked' | 'free' | 'late' | 'silent';

/** How a try ended: 0, or what `errno` said. */
export type Results = Readonly<Record<string, number>>;

const MSG_PEEK = 2;
const MSG_DONTWAIT = 0x40;
const ffi = process.getBuiltinModule('node:ffi');
const library = new ffi.DynamicLibrary(null);
const word = 'int64';
const syscall = library.getFunction('syscall', {
  return: word,
  arguments: [word, word, word, word, word, word, word],
});
const location = library.getFunction('__errno_location', { return: 'pointer', arguments: [] })();
const errno = ffi.toBuffer(location, 4, false);
const column = process.arch === 'arm64' ? 1 : 0;
const kept: ArrayBuffer[] = [];

function call(number: number, ...words: readonly (number | bigint)[]): number {
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = words.map(BigInt);
  return syscall(BigInt(number), a, b, c, d, e, f) < 0n ? errno.readInt32LE() : 0;
}

/** The address of bytes that stay where they are; it is not to be had any more once the process is locked down. */
function pointer(bytes: string | Uint8Array): bigint {
  const data = typeof bytes === 'string' ? Buffer.from(`${bytes}\0`) : bytes;
  const copy = new ArrayBuffer(Math.max(data.byteLength, 64));
  new Uint8Array(copy).set(data);
  kept.push(copy);
  return ffi.getRawPointer(copy);
}

const path = pointer('/etc/passwd');
const name = pointer('name');
const root = pointer('/');
const none = pointer(new Uint8Array(512));
const program = pointer('/bin/true');
/** `sockaddr_in` of 127.0.0.1:9, `sockaddr_un` of a path. */
const address = pointer(Uint8Array.of(2, 0, 0, 9, 127, 0, 0, 1));
const CLONE_THREAD = 0x0001_0f00n;
const CLONE_NEWUSER = 0x1000_0000;
const O_CREAT = 0o102;
const AT_FDCWD = -100;

type Tries = Readonly<Record<string, () => number>>;

/** What an ordinary process of any user may do, and what is undone by its end. */
function ordinary(parent: number): Tries {
  const [open, openat, socket, kill] = (['open', 'openat', 'socket', 'kill'] as const).map(of);
  return {
    'socket AF_UNIX': () => call(socket ?? 0, 1, 1, 0),
    'socket AF_INET': () => call(socket ?? 0, 2, 1, 0),
    'socket AF_INET, UDP': () => call(socket ?? 0, 2, 2, 0),
    'socket AF_INET6': () => call(socket ?? 0, 10, 1, 0),
    'socket AF_NETLINK': () => call(socket ?? 0, 16, 3, 0),
    ...(open === -1 ? {} : { open: () => call(open ?? 0, path, 0) }),
    openat: () => call(openat ?? 0, AT_FDCWD, path, 0),
    'signal to the parent': () => call(kill ?? 0, parent, 0),
    'signal to everybody': () => call(kill ?? 0, 0, 0),
    memfd_create: () => call(of('memfd_create'), name, 0),
    pidfd_open: () => call(of('pidfd_open'), parent, 0),
    shmget: () => call(of('shmget'), 0, 4096, 0o600),
    pipe2: () => call(of('pipe2'), none, 0),
    eventfd2: () => call(of('eventfd2'), 0, 0),
    dup: () => call(of('dup'), 0),
    getcwd: () => call(of('getcwd'), none, 64),
    statx: () => call(of('statx'), AT_FDCWD, path, 0, 0, none),
    'PR_SET_DUMPABLE on': () => call(of('prctl'), 4, 1),
    'PR_SET_PDEATHSIG off': () => call(of('prctl'), 1, 0),
  };
}

/** What would end, replace or multiply this process, or harm others, where nothing forbids it. */
function grave(parent: number): Tries {
  return {
    connect: () => call(of('connect'), 0, address, 16),
    bind: () => call(of('bind'), 0, address, 16),
    sendmsg: () => call(of('sendmsg'), 0, none, 0),
    'openat to write': () => call(of('openat'), AT_FDCWD, path, O_CREAT),
    execve: () => call(of('execve'), program, none, none),
    execveat: () => call(of('execveat'), AT_FDCWD, program, none, none, 0),
    fork: () => call(of('clone'), 17),
    'fork by its old name': () => (of('fork') === -1 ? 1 : call(of('fork'))),
    vfork: () => (of('vfork') === -1 ? 1 : call(of('vfork'))),
    'clone a thread': () => call(of('clone'), CLONE_THREAD, none),
    clone3: () => call(of('clone3'), none, 64),
    'kill the parent': () => call(of('kill'), parent, 9),
    'kill a thread of the parent': () => call(column === 0 ? 234 : 131, parent, parent, 9),
    'kill by queueing': () => call(of('rt_sigqueueinfo'), parent, 9, none),
    'ptrace the parent': () => call(of('ptrace'), 0x4206, parent, 0, 0),
    'read the memory of the parent': () => call(of('process_vm_readv'), parent, none, 1, none, 1),
    'write the memory of the parent': () => call(of('process_vm_writev'), parent, none, 1, none, 1),
    io_uring_setup: () => call(of('io_uring_setup'), 8, none),
    io_uring_enter: () => call(of('io_uring_enter'), 4, 1, 0, 0),
    setuid: () => call(of('setuid'), 65534),
    unshare: () => call(of('unshare'), CLONE_NEWUSER),
    mount: () => call(of('mount'), root, root, name, 0, 0),
    umount: () => call(of('umount2'), root, 0),
    seccomp: () => call(of('seccomp'), 0, 0, 0),
    'a number of x32': () => (column === 0 ? call(0x4000_0000 + 257, AT_FDCWD, path, 0) : 1),
    ...Object.fromEntries(
      Object.entries(FORBIDDEN).flatMap(([what, numbers]) => {
        const number = numbers[column];
        return number === null ? [] : [[`${what} of nothing`, () => call(number)]];
      }),
    ),
  };
}

/** The number on this machine, -1 where there is none. */
function of(what: keyof typeof FORBIDDEN): number {
  return FORBIDDEN[what][column] ?? -1;
}

function all(tries: Tries): Results {
  return Object.fromEntries(Object.entries(tries).map(([what, attempt]) => [what, attempt()]));
}

/** True where there is input within a while; nothing of it is taken away. */
function listens(): boolean {
  for (let times = 0; times < 30; times += 1) {
    if (call(of('recvfrom'), 0, none, 1, MSG_PEEK | MSG_DONTWAIT, 0, 0) === 0) return true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
  return false;
}

function main(mode: Mode, parent: number): void {
  const print = (what: object): void => void writeSync(1, `${JSON.stringify(what)}\n`);
  switch (mode) {
    case 'locked': {
      lockDown(parent);
      print({ ...all(ordinary(parent)), ...all(grave(parent)) });
      break;
    }
    case 'free':
      writeSync(2, 'not locked down: the test says so\n');
      print(all(ordinary(parent)));
      break;
    case 'late': {
      const early = listens();
      lockDown(parent);
      const text = Buffer.alloc(64);
      print({ early, text: text.toString('utf8', 0, readSync(0, text)) });
      break;
    }
    case 'silent':
      print({ early: listens() });
  }
  while (readSync(0, Buffer.alloc(64)) > 0);
}

if (import.meta.main) main(process.argv[2] as Mode, Number(process.argv.at(-1)));
