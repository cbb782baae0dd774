/**
 * Reads small files.
 */
import { open } from 'node:fs/promises';

/** Smallest buffer, in bytes. */
const LEAST_BYTES = 4096;

/**
 * The text of a file of at most `maxBytes`. The buffer grows with the file, not with the limit.
 *
 * @throws RangeError if the file is larger; otherwise the system's error.
 */
export async function readTextFile(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    // The size is a hint: the file may grow, and files of /proc and FUSE report 0.
    const { size } = await file.stat();
    let buffer = Buffer.allocUnsafe(Math.min(Math.max(size, LEAST_BYTES), maxBytes) + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (length > maxBytes) throw new RangeError(`file is larger than ${maxBytes} bytes`);
      if (bytesRead === 0) return buffer.toString('utf8', 0, length);
      if (length === buffer.length) buffer = grown(buffer, maxBytes + 1);
    }
  } finally {
    await file.close();
  }
}

function grown(buffer: Uint8Array, maxBytes: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafe(Math.min(buffer.length * 2, maxBytes));
  larger.set(buffer);
  return larger;
}
