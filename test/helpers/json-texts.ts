/** Texts of JSON documents, as compact as `JSON.stringify` writes them, with numbers of every notation. */
import fc from 'fast-check';

/** Numbers of JSON's grammar: any number of digits, fractions, exponents. */
export function numberTexts(): fc.Arbitrary<string> {
  const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 });
  const text = digits.map((all) => all.join(''));
  const parts = fc.record({
    sign: fc.constantFrom('', '-'),
    whole: text.map((all) => all.replace(/^0+(?=\d)/, '')),
    fraction: fc.option(text, { nil: undefined }),
    exponent: fc.option(fc.tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), text), {
      nil: undefined,
    }),
  });
  return parts.map(({ sign, whole, fraction, exponent = [] }) => {
    return `${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}${exponent.join('')}`;
  });
}

/** Documents of them. */
export function jsonTexts(): fc.Arbitrary<string> {
  const name = fc.oneof(
    fc.string(),
    fc.constantFrom('a', 'b', '__proto__', 'text', 'rawJSON', '1.10'),
  );
  return fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, depthSize: 'small' },
      numberTexts(),
      fc.string().map((text) => JSON.stringify(text)),
      fc.constantFrom('null', 'true', 'false', '":1.10,"', '", 1e400 ]"'),
      fc.array(tie('value'), { maxLength: 5 }).map((items) => `[${items.join(',')}]`),
      fc
        // Names of digits alone are sorted by JavaScript.
        .uniqueArray(
          name.filter((one) => !/^\d+$/.test(one)),
          { maxLength: 5 },
        )
        .chain((names) =>
          fc
            .tuple(...names.map(() => tie('value')))
            .map((values) =>
              names.map((one, index) => `${JSON.stringify(one)}:${values[index] ?? ''}`).join(','),
            ),
        )
        .map((members) => `{${members}}`),
    ),
  })).value;
}
