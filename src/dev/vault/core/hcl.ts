/**
 * Reads the small part of HCL that policies are written in: attributes and labelled blocks.
 */

/** An attribute `name = value` or a block `name "label" { ... }`. */
export type HclItem =
  | { readonly kind: 'attribute'; readonly name: string; readonly value: unknown }
  | {
      readonly kind: 'block';
      readonly name: string;
      readonly label: string;
      readonly body: readonly HclItem[];
    };

interface Token {
  readonly kind: 'word' | 'string' | 'number' | 'mark' | 'end';
  readonly text: string;
  readonly at: number;
}

const TOKEN =
  /(?<space>[\s]+|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|(?<string>"(?:[^"\\]|\\.)*")|(?<number>-?\d+(?:\.\d+)?\b)|(?<word>[A-Za-z_][\w.-]*)|(?<mark>[={}[\],:])/y;

/** @throws SyntaxError with the line and column of what is wrong. */
export function parseHcl(source: string): HclItem[] {
  const parser = new Parser(source, tokenize(source));
  const items = parser.items('end');
  return items;
}

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; at < source.length; at = TOKEN.lastIndex) {
    const groups = TOKEN.exec(source)?.groups;
    if (groups === undefined) throw syntaxError(source, at, 'illegal character');
    for (const kind of ['string', 'number', 'word', 'mark'] as const) {
      const text = groups[kind];
      if (text !== undefined) tokens.push({ kind, text, at });
    }
  }
  return [...tokens, { kind: 'end', text: 'EOF', at: source.length }];
}

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(source: string, tokens: readonly Token[]) {
    this.#source = source;
    this.#tokens = tokens;
  }

  items(until: 'end' | '}'): HclItem[] {
    const items: HclItem[] = [];
    for (;;) {
      if (until === 'end' ? this.#peek.kind === 'end' : this.#accept('}')) return items;
      items.push(this.#item());
      this.#accept(',');
    }
  }

  #item(): HclItem {
    const name = this.#name();
    if (this.#accept('=') || this.#accept(':')) {
      return { kind: 'attribute', name, value: this.#value() };
    }
    const label = this.#peek.kind === 'string' ? this.#name() : '';
    this.#expect('{');
    return { kind: 'block', name, label, body: this.items('}') };
  }

  #value(): unknown {
    if (this.#accept('[')) return this.#list();
    if (this.#accept('{')) {
      const pairs = this.items('}').map((item) =>
        item.kind === 'attribute' ? [item.name, item.value] : [item.name, item.body],
      );
      return Object.fromEntries(pairs);
    }
    const token = this.#take();
    if (token.kind === 'string') return unquote(token.text);
    if (token.kind === 'number') return Number(token.text);
    if (token.text === 'true' || token.text === 'false') return token.text === 'true';
    throw syntaxError(this.#source, token.at, `unexpected "${token.text}"`);
  }

  #list(): unknown[] {
    const list: unknown[] = [];
    while (!this.#accept(']')) {
      list.push(this.#value());
      if (!this.#accept(',') && this.#peek.text !== ']') this.#expect(']');
    }
    return list;
  }

  #name(): string {
    const token = this.#take();
    if (token.kind === 'string') return unquote(token.text);
    if (token.kind === 'word') return token.text;
    throw syntaxError(this.#source, token.at, `expected a name, got "${token.text}"`);
  }

  get #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', text: 'EOF', at: this.#source.length };
  }

  #take(): Token {
    const token = this.#peek;
    this.#next += 1;
    return token;
  }

  #accept(mark: string): boolean {
    if (this.#peek.kind !== 'mark' || this.#peek.text !== mark) return false;
    this.#next += 1;
    return true;
  }

  #expect(mark: string): void {
    const { at, text } = this.#peek;
    if (!this.#accept(mark)) {
      throw syntaxError(this.#source, at, `expected "${mark}", got "${text}"`);
    }
  }
}

function unquote(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, (_, character: string) => {
    if (character === 'n') return '\n';
    return character === 't' ? '\t' : character;
  });
}

function syntaxError(source: string, at: number, message: string): SyntaxError {
  const before = source.slice(0, at).split('\n');
  return new SyntaxError(`At ${before.length}:${(before.at(-1)?.length ?? 0) + 1}: ${message}`);
}
