/** Looks for planted secrets in whatever a process lets out. */

/** Shapes of secrets that need not be planted: Vault tokens, JWTs, private keys. */
const SHAPES: Readonly<Record<string, RegExp>> = {
  'a Vault token': /\bhv[sbr]\.[\w-]{8}/,
  'a JWT': /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}/,
  'a private key': /PRIVATE KEY/,
};

/** Secrets of one test. */
export class Hunt {
  readonly #planted = new Set<string>();

  /** Remembers a secret; gives it back. */
  plant(secret: string): string {
    this.#planted.add(secret);
    return secret;
  }

  /** Everything in `text` that must not be there, each named by its begin alone. */
  find(text: string): string[] {
    const planted = [...this.#planted].filter((secret) =>
      formsOf(secret).some((form) => text.includes(form)),
    );
    const shaped = Object.entries(SHAPES).filter(([, shape]) => shape.test(text));
    return [...planted.map((secret) => secret.slice(0, 16)), ...shaped.map(([name]) => name)];
  }

  /** @throws Error that names what was found where. */
  assertNone(texts: Readonly<Record<string, string>>): void {
    for (const [where, text] of Object.entries(texts)) {
      const found = this.find(text);
      if (found.length > 0) throw new Error(`secrets in ${where}: ${found.join(', ')}`);
    }
  }
}

/** A secret as it is and as it may have been encoded on its way out. */
function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  const json = JSON.stringify(secret).slice(1, -1);
  return [secret, json, encodeURIComponent(secret), bytes.toString('hex'), base64];
}
