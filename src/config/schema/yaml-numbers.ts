/**
 * Numbers of YAML's core schema with their digits.
 *
 * @see https://yaml.org/spec/1.2.2/#103-core-schema
 */
import { isAlias, isScalar, Scalar, visit, type Document, type ScalarTag, type Tags } from 'yaml';
import { exactNumber, NumberText } from '../../core/index.ts';
import type { YamlDialect } from './yaml.ts';

/** Every number that JSON can represent keeps its digits; as a key, it is text. */
export const EXACT_NUMBERS: YamlDialect = {
  options: {
    customTags: (tags: Tags): Tags => tags.map((tag) => (isNumberTag(tag) ? exact(tag) : tag)),
    uniqueKeys: (a, b) => {
      if (a === b) return true;
      return isScalar(a) && isScalar(b) && plain(a.value) === plain(b.value);
    },
  },
  prepare: (document: Document.Parsed): void => {
    visit(document, {
      Pair: (_, pair) => {
        const key = isAlias(pair.key) ? pair.key.resolve(document) : pair.key;
        if (!isScalar(key) || !(key.value instanceof NumberText)) return;
        if (key === pair.key) key.value = key.value.text;
        else pair.key = new Scalar(key.value.text);
      },
    });
  },
};

function plain(value: unknown): unknown {
  return value instanceof NumberText ? value.text : value;
}

function isNumberTag(tag: Tags[number]): tag is ScalarTag {
  if (typeof tag !== 'object' || tag.collection !== undefined) return false;
  return /:(?:int|float)$/.test(tag.tag);
}

function exact(tag: ScalarTag): ScalarTag {
  return {
    ...tag,
    resolve: (text, onError, options) => {
      const number = jsonNumber(text);
      return number === undefined ? tag.resolve(text, onError, options) : exactNumber(number);
    },
  };
}

/** The number as JSON writes it; undefined for infinity and NaN, which JSON does not have. */
function jsonNumber(text: string): string | undefined {
  if (/^0[xo]/.test(text)) return String(BigInt(text));
  const parts = /^([-+]?)(\d*)(?:\.(\d*))?([eE][-+]?\d+)?$/.exec(text);
  if (parts === null) return undefined;
  const [, sign, whole = '', fraction = '', exponent = ''] = parts;
  const digits = whole.replace(/^0+(?=\d)/, '') || '0';
  return `${sign === '-' ? '-' : ''}${digits}${fraction && `.${fraction}`}${exponent}`;
}
