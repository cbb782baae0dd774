/**
 * The child's side of a pool: answers one frame after the other. It reads and writes synchronously on its only thread, so it
 * needs nothing of Node but two descriptors.
 */
import { readSync, writeSync } from 'node:fs';
import { encodeFrame, FrameReader, type Frame } from './frames.ts';

const INPUT = 0;
const OUTPUT = 1;
const CHUNK_BYTES = 64 * 1024;
const EMPTY = new Uint8Array();

/** Answers frames until the input ends. An error of `answer` is thrown, which ends the process. */
export function serveFrames(maxFrameBytes: number, answer: (frame: Frame) => Frame): void {
  const reader = new FrameReader(maxFrameBytes);
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (;;) {
    const count = readSync(INPUT, chunk);
    if (count === 0) return;
    for (const [nonce = EMPTY, ...frame] of reader.push(chunk.subarray(0, count))) {
      for (const part of encodeFrame([nonce, ...answer(frame)])) writeAll(part);
    }
  }
}

function writeAll(bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length;) offset += writeSync(OUTPUT, bytes, offset);
}
