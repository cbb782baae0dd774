/**
 * Small files. Ring: platform.
 */
import { open } from 'node:fs/promises';

/**
 * The text of a file of at most `maxBytes`.
 *
 * @throws RangeError when it is larger; else the system's error.
 */
export async function readTextFile(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      length += bytesRead;
      if (length > maxBytes) throw new RangeError(`file is larger than ${maxBytes} bytes`);
      if (bytesRead === 0) return buffer.toString('utf8', 0, length);
    }
  } finally {
    await file.close();
  }
}
