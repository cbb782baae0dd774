/**
 * The output of a template: text, or exactly one binary value.
 */
import { Fault, valueFault } from './fault.ts';
import { TextBuilder } from './text-builder.ts';
import { unitBytes, type WorkBudget } from './work.ts';

/** Collects output within the limits for output and work. */
export class Output {
  readonly #work: WorkBudget;
  readonly #text: TextBuilder;
  #bytes = 0;
  /** Characters so far, and the bytes that each of them takes in memory. */
  #units = 0;
  #unitBytes: 1 | 2 = 1;
  #binary: Uint8Array | undefined;

  constructor(work: WorkBudget) {
    this.#work = work;
    this.#text = new TextBuilder(work);
  }

  /** Undefined if the output is binary. */
  get text(): string | undefined {
    return this.#binary === undefined ? this.#text.text : undefined;
  }

  get binary(): Uint8Array | undefined {
    return this.#binary;
  }

  write(text: string): void {
    if (text === '') return;
    if (this.#binary !== undefined) throw mixed();
    const bytes = Buffer.byteLength(text);
    this.#count(bytes);
    if (bytes > text.length && this.#unitBytes === 1 && unitBytes([text]) === 2) {
      this.#unitBytes = 2;
      this.#work.make(this.#units);
    }
    this.#work.make(text.length * this.#unitBytes);
    this.#units += text.length;
    this.#text.add(text);
  }

  writeBinary(bytes: Uint8Array): void {
    if (!this.#text.isEmpty || this.#binary !== undefined) throw mixed();
    this.#count(bytes.length);
    this.#binary = bytes;
  }

  #count(bytes: number): void {
    const { outputBytes } = this.#work.limits;
    this.#bytes += bytes;
    if (this.#bytes <= outputBytes) return;
    throw new Fault(
      'ERR_TEMPLATE_LIMIT',
      `the output is longer than ${outputBytes} bytes; split the template into several files`,
    );
  }
}

/** A stray space or line end would silently corrupt a binary file. */
function mixed(): Fault {
  return valueFault(
    'binary data must be the only output of the template; remove text, spaces and line breaks around it',
  );
}
