/**
 * The other end of a pool: what a child process does, one frame after the other. It works and waits on
 * its one thread alone, so that it needs nothing of Node but two descriptors.
 */
import { readSync, writeSync } from 'node:fs';
import { encodeFrame, FrameReader, type Frame } from './frames.ts';

const INPUT = 0;
const OUTPUT = 1;
const CHUNK_BYTES = 64 * 1024;
const EMPTY = new Uint8Array();

/** Answers frames until the input ends. What `answer` throws ends it: the process is of no use then. */
export function serveFrames(maxFrameBytes: number, answer: (frame: Frame) => Frame): void {
  const reader = new FrameReader(maxFrameBytes);
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (;;) {
    const count = readSync(INPUT, chunk);
    if (count === 0) return;
    for (const [mark = EMPTY, ...frame] of reader.push(chunk.subarray(0, count))) {
      for (const part of encodeFrame([mark, ...answer(frame)])) writeAll(part);
    }
  }
}

function writeAll(bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length;) offset += writeSync(OUTPUT, bytes, offset);
}
