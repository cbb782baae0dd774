/**
 * A value as its JSON, for whoever passes it on and must not spend the time to look into it.
 */

/** The dearest JSON of this length takes two milliseconds to parse, numbers with their source included. */
export const MAX_SHORT_BYTES = 4096;

/** JSON in UTF-8 that was written by ourselves. Equal values of one source have equal bytes. */
export class JsonText {
  /** Own and enumerable: `isDeepStrictEqual` compares it. */
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  static of(value: unknown): JsonText {
    return new JsonText(Buffer.from(JSON.stringify(value ?? null)));
  }

  get text(): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength).toString();
  }

  /** The value itself, where it takes no time to speak of: undefined for one of more than 4 KiB. */
  parseIfShort(): unknown {
    return this.bytes.byteLength > MAX_SHORT_BYTES ? undefined : this.parse();
  }

  /** The value itself. What it costs is for the caller to bound. */
  parse(): unknown {
    return JSON.parse(this.text);
  }
}
