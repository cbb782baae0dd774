/**
 * Lets the HTTP parser of Node, which knows no method LIST, serve clients of Vault that use it.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** The method that stands for LIST behind {@link ListVerb}: as long, and of no other use here. */
export const LIST_STAND_IN = 'LINK';

/** A request line whose method the parser would reject. Bodies are JSON, so none begins like this. */
const REQUEST_LINE = /^LIST \/[^ ]* HTTP\/1\.1\r\n/;

/** A socket's bytes with the method LIST replaced at the head of a request. */
export class ListVerb extends Duplex {
  readonly socket: Socket;

  constructor(socket: Socket) {
    super();
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(translate(chunk))) socket.pause();
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.socket.write(chunk, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.socket.destroy();
    done(error);
  }
}

function translate(chunk: Buffer): Buffer {
  if (!REQUEST_LINE.test(chunk.toString('latin1', 0, 4096))) return chunk;
  return Buffer.concat([Buffer.from(LIST_STAND_IN), chunk.subarray(LIST_STAND_IN.length)]);
}
