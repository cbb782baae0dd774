/**
 * Loaded into each process of a show: ends it in order when the show itself is gone, however that ended.
 */
import { Socket } from 'node:net';

process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM'));
process.stdin.resume();
// A process that is done must not wait for its show.
if (process.stdin instanceof Socket) process.stdin.unref();
