/** Values for environment variables, for the agent's file format and for the kubelet that reads it. */
import fc from 'fast-check';
import { MAX_VALUE_BYTES } from '../../src/agent/env-file.ts';

/** Values that a variable can have. */
export const GOOD_VALUES: readonly string[] = [
  'hunter2',
  ' spaces around ',
  'a=b # no comment',
  '$HOME ${X} $(X) `id` \\n "quotes"',
  'two\nlines\n',
  '# first character',
  '\r alone, and at the end\r',
  '\n',
  '=',
  'ünïcödé 🔑',
  '\uFEFFa byte order mark',
  'x'.repeat(MAX_VALUE_BYTES),
];

const character = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom("'", '\r', '\n', '\0', '=', '#', ' ', '\t', '"', '\\', '$'),
  },
  { weight: 3, arbitrary: fc.string({ maxLength: 3, unit: 'binary' }) },
);

/** Values with many characters that mean something in files of variables, and in shells. */
export const anyValue: fc.Arbitrary<string> = fc
  .array(character, { maxLength: 12 })
  .map((parts) => parts.join(''));
