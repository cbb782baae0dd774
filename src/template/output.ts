/**
 * What a template prints: text, or one binary value and nothing else. Ring: template.
 */
import { Fault, valueFault } from './fault.ts';

/** Collects output and keeps it below a size. */
export class Output {
  readonly #maxBytes: number;
  #bytes = 0;
  #text = '';
  #binary: Uint8Array | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Undefined when the output is binary. */
  get text(): string | undefined {
    return this.#binary === undefined ? this.#text : undefined;
  }

  get binary(): Uint8Array | undefined {
    return this.#binary;
  }

  write(text: string): void {
    if (text === '') return;
    if (this.#binary !== undefined) throw mixed();
    this.#count(Buffer.byteLength(text));
    this.#text += text;
  }

  writeBinary(bytes: Uint8Array): void {
    if (this.#text !== '' || this.#binary !== undefined) throw mixed();
    this.#count(bytes.length);
    this.#binary = bytes;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= this.#maxBytes) return;
    throw new Fault('ERR_TEMPLATE_LIMIT', `the output is longer than ${this.#maxBytes} bytes`);
  }
}

/** A stray space or line end would silently spoil a binary file. */
function mixed(): Fault {
  return valueFault(
    'binary data must be all that the template prints; take away text, spaces and line ends around it',
  );
}
