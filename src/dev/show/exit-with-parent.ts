/**
 * Preloaded into each child process of the demo: stops it when the demo itself has ended, for whatever reason.
 */
import { Socket } from 'node:net';

process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM'));
process.stdin.resume();
// Must not keep a finished process alive.
if (process.stdin instanceof Socket) process.stdin.unref();
