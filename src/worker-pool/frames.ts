/**
 * The protocol between a process and its children: frames of a few byte strings each.
 *
 * A frame is its length and the number of its parts (four bytes each, little-endian), the length of each part, and the
 * parts. The bytes are not interpreted here, and nothing is read beyond the maximum size.
 */

/** The parts of one frame. */
export type Frame = readonly Uint8Array[];

/** Most parts of one frame. */
export const MAX_PARTS = 16_384;

/** Length of the frame and number of its parts. */
const HEADER_BYTES = 8;

/** The input is not a frame; the sender is not to be trusted any more. */
class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Encodes a frame. Its parts are not copied. */
export function encodeFrame(parts: Frame): readonly Uint8Array[] {
  const header = Buffer.allocUnsafe(HEADER_BYTES + 4 * parts.length);
  header.writeUInt32LE(parts.length, 4);
  let size = header.length;
  for (const [index, part] of parts.entries()) {
    header.writeUInt32LE(part.byteLength, HEADER_BYTES + 4 * index);
    size += part.byteLength;
  }
  header.writeUInt32LE(size, 0);
  return [header, ...parts];
}

/** How many bytes a frame of these parts takes. */
export function frameBytes(parts: Frame): number {
  return parts.reduce((sum, part) => sum + part.byteLength, HEADER_BYTES + 4 * parts.length);
}

/** Assembles frames from incoming chunks. */
export class FrameReader {
  readonly #maxBytes: number;
  readonly #header = Buffer.alloc(4);
  #bytes: Buffer | undefined;
  #filled = 0;

  /** `maxBytes` of one frame. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes a chunk, and returns the frames that it completes. @throws FrameError */
  push(chunk: Uint8Array): readonly Frame[] {
    const frames: Frame[] = [];
    for (let offset = 0; offset < chunk.length;) {
      const into = this.#bytes ?? this.#header;
      const count = Math.min(into.length - this.#filled, chunk.length - offset);
      into.set(chunk.subarray(offset, offset + count), this.#filled);
      offset += count;
      this.#filled += count;
      if (this.#filled < into.length) continue;
      if (this.#bytes === undefined) {
        this.#bytes = this.#begin();
      } else {
        frames.push(partsOf(this.#bytes));
        this.#bytes = undefined;
        this.#filled = 0;
      }
    }
    return frames;
  }

  #begin(): Buffer {
    const size = this.#header.readUInt32LE(0);
    if (size < HEADER_BYTES || size > this.#maxBytes)
      throw new FrameError('a frame of invalid size');
    const bytes = Buffer.allocUnsafeSlow(size); // not from the buffer pool: a part may be kept for long
    bytes.set(this.#header);
    return bytes;
  }
}

function partsOf(bytes: Buffer): Frame {
  const count = bytes.readUInt32LE(4);
  const start = HEADER_BYTES + 4 * count;
  if (count > MAX_PARTS || start > bytes.length)
    throw new FrameError('a frame with too many parts');
  const parts: Uint8Array[] = [];
  let offset = start;
  for (let index = 0; index < count; index += 1) {
    const end = offset + bytes.readUInt32LE(HEADER_BYTES + 4 * index);
    if (end > bytes.length) throw new FrameError('a part beyond its frame');
    parts.push(bytes.subarray(offset, end));
    offset = end;
  }
  if (offset !== bytes.length) throw new FrameError('a frame longer than its parts');
  return parts;
}
