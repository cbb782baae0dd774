/**
 * Every helper, in the order of the documentation.
 */
import type { Helper, Signature } from '../helper.ts';
import type { BlockType } from '../tree.ts';
import { ESCAPES } from './escapes.ts';
import { KEYSTORES } from './keystores.ts';
import { LOGIC } from './logic.ts';
import { SOURCES } from './sources.ts';
import { TEXTS } from './texts.ts';

/** Block helpers; render.ts evaluates them. */
const BLOCK_LIST: readonly (Signature & { readonly name: Exclude<BlockType, 'section'> })[] = [
  {
    name: 'if',
    usage: '#if value [includeZero=true]',
    description:
      'The block if the value is true (not false, 0, empty, null or missing), otherwise its `{{else}}`.',
    args: [1, 1],
    hash: ['includeZero'],
    lenient: true,
  },
  {
    name: 'unless',
    usage: '#unless value [includeZero=true]',
    description: 'The opposite of `if`.',
    args: [1, 1],
    hash: ['includeZero'],
    lenient: true,
  },
  {
    name: 'each',
    usage: '#each collection [as |value key|]',
    description:
      'The block for every item of a list or object, with `this`, `@key`, `@index`, `@first`, `@last`; `{{else}}` if there are none.',
    args: [1, 1],
  },
  {
    name: 'with',
    usage: '#with value [as |name|]',
    description: 'The block with the value as its context; `{{else}}` if it is empty.',
    args: [1, 1],
  },
  {
    name: 'raw',
    usage: '{{{{raw}}}} … {{{{/raw}}}}',
    description: 'The text in between, unchanged, braces included.',
    args: [0, 0],
  },
];

const HELPER_LIST = [...SOURCES, ...ESCAPES, ...TEXTS, ...KEYSTORES, ...LOGIC];

/** Block helpers by name. */
export const BLOCKS: ReadonlyMap<string, (typeof BLOCK_LIST)[number]> = new Map(
  BLOCK_LIST.map((block) => [block.name, block]),
);

/** All other helpers by name. */
export const HELPERS: ReadonlyMap<string, Helper> = new Map(
  HELPER_LIST.map((helper) => [helper.name, helper]),
);

/** A helper as docs/use/templates.md lists it. */
export interface HelperDoc {
  readonly name: string;
  readonly usage: string;
  readonly description: string;
}

/** Every helper that templates may call, for docs/use/templates.md and for `vouchsafe`'s help. */
export const TEMPLATE_HELPERS: readonly HelperDoc[] = [...BLOCK_LIST, ...HELPER_LIST].map(
  ({ name, usage, description }) => ({ name, usage, description }),
);
