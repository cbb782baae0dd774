/** Waiting until a test's process has nothing left to do, and yielding to other work. */
import { createHook } from 'node:async_hooks';
import { once, EventEmitter } from 'node:events';
import { setImmediate } from 'node:timers/promises';

/** Turns of the event loop without any callback after which nothing is under way: one more than data of a local socket needs. */
const QUIET_TURNS = 4;

/** Work that keeps itself alive for as many turns does not end. */
const MAX_TURNS = 100_000;

/** For one operation. */
const PATIENCE_MS = 30_000;

/** Single operations of files and DNS, as `node:async_hooks` names them. Those of cryptography cannot be distinguished from synchronous ones, which never end there. */
const REQUEST = /^(FSREQ|GETADDRINFO)/;

/** Operations that have begun and not ended. */
const underWay = new Set<number>();

/** Immediates of this file, which are not work. */
const own = new Set<number>();

const requests = new EventEmitter();

let isOwn = false;
let callbacks = 0;

createHook({
  init(id, type) {
    if (isOwn) own.add(id);
    else if (REQUEST.test(type)) underWay.add(id);
  },
  before(id) {
    if (!own.has(id)) callbacks += 1;
  },
  after: forget,
  destroy: forget,
  trackPromises: false,
}).enable();

function forget(id: number): void {
  own.delete(id);
  if (underWay.delete(id)) requests.emit('end');
}

/**
 * Waits until everything that is ready has run: promises, immediates, files, and data on its way through a local
 * socket. What waits for time or for another process is not waited for.
 *
 * @throws Error if the work does not end.
 */
export async function settle(): Promise<void> {
  let quiet = 0;
  for (let turn = 0; quiet < QUIET_TURNS; turn += 1) {
    if (turn === MAX_TURNS)
      throw new Error(`still busy after ${MAX_TURNS} turns of the event loop`);
    const before = callbacks;
    if (underWay.size > 0)
      await once(requests, 'end', { signal: AbortSignal.timeout(PATIENCE_MS) });
    await ownImmediate();
    quiet = callbacks === before && underWay.size === 0 ? quiet + 1 : 0;
  }
}

/** Lets other work run for some turns of the event loop: for work that a test makes up, not for waiting. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await setImmediate();
}

function ownImmediate(): Promise<void> {
  isOwn = true;
  const next = setImmediate();
  isOwn = false;
  return next;
}
