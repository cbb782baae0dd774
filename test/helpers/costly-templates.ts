/**
 * Templates and documents that are made to cost as much as they can. Which arguments a helper takes is found out by
 * trying, so that a helper that is added later is attacked as well.
 */
import fc from 'fast-check';
import {
  checkTemplate,
  parseTemplate,
  renderTemplate,
  TEMPLATE_HELPERS,
} from '../../src/template/index.ts';
import { COSTLY_DOCUMENT, doubled, KINDS } from './costly-document.ts';

const kindNames = Object.keys(KINDS);
/** Integers that helpers want written out. */
const LITERALS = ['0', '100'];
/** Kinds that differ by type. */
const TYPES = ['text', 'list', 'record', '0'];

/** The kinds of arguments that each helper accepts, found by calling it with a short value of each. */
function acceptedCalls(): readonly (readonly string[])[] {
  const candidates = [
    ...tuples([...kindNames, ...LITERALS], 2),
    ...tuples(TYPES, 3).filter((one) => one.length === 3),
  ];
  return TEMPLATE_HELPERS.flatMap(({ name }) =>
    candidates.map((args) => [name, ...args]).filter(accepts),
  );
}

function tuples(names: readonly string[], most: number): readonly (readonly string[])[] {
  if (most === 0) return [[]];
  const shorter = tuples(names, most - 1);
  const longest = shorter.filter((one) => one.length === most - 1);
  return [...shorter, ...longest.flatMap((one) => names.map((name) => [...one, name]))];
}

function accepts(call: readonly string[]): boolean {
  const source = `{{#if (${call.map((part) => reference(part, 0)).join(' ')})}}{{/if}}`;
  if (checkTemplate(source, 't').problems.length > 0) return false;
  try {
    renderTemplate(parseTemplate(source, 't'), { root: COSTLY_DOCUMENT, lookup: () => undefined });
    return true;
  } catch {
    return false;
  }
}

/** How a template names a value of a kind; any number names one. */
function reference(part: string, index: number): string {
  const values = KINDS[part];
  return values === undefined ? part : `@root.${part}.[${index % values.length}]`;
}

/** Most values of a kind. */
const VALUES_OF_A_KIND = Math.max(...Object.values(KINDS).map((values) => values.length));
/** A helper and the kinds of its arguments. */
const COSTLY_CALLS = acceptedCalls();

const names = [...new Set(COSTLY_CALLS.map(([name]) => name))];
/** Each helper as often as any other, whatever it accepts. */
const calls = fc
  .constantFrom(...names)
  .chain((name) => fc.constantFrom(...COSTLY_CALLS.filter(([one]) => one === name)))
  .chain((call) =>
    fc
      .array(fc.nat(VALUES_OF_A_KIND - 1), { minLength: call.length, maxLength: call.length })
      .map((which) => call.map((part, index) => reference(part, which[index] ?? 0)).join(' ')),
  );
const bodies = calls.chain((call) =>
  fc.constantFrom(
    `{{#if (${call})}}{{/if}}`,
    `{{${call}}}`,
    `{{#each (${call})}}{{/each}}`,
    `{{json (list (${call}))}}`,
  ),
);
/** Templates with a costly call, alone or in loops. */
export const COSTLY_TEMPLATES = fc
  .tuple(bodies, fc.nat(2))
  .map(
    ([body, loops]) => `${'{{#each @root.few}}'.repeat(loops)}${body}${'{{/each}}'.repeat(loops)}`,
  );

const WITHOUT = '{{#with (omit @root.record.[2] "a")}}';
const PARSED = '{{#with (parseJson @root.json.[1])}}';

/** The templates that are known to take the most memory, each for a reason of its own. */
export const WORST_FOR_MEMORY: readonly string[] = [
  // texts that hold each other, of one byte a character, and of two
  doubled('a', 23, ''),
  doubled('😀', 22, ''),
  // escapes that make a text up to six times as long, and their scratch space
  doubled('<', 20, '{{#if (xml this)}}{{/if}}'),
  doubled("'", 20, '{{#if (url this)}}{{/if}}{{#if (shell this)}}{{/if}}'),
  doubled('😀', 20, '{{#if (url this)}}{{/if}}'),
  doubled('😀', 18, '{{#if (properties this)}}{{/if}}{{json this}}'),
  '{{json @root.text.[4]}}{{yaml @root.text.[4]}}{{#if (base64Encode @root.text.[4])}}{{/if}}',
  '{{#if (indent @root.text.[5] 10)}}{{/if}}',
  '{{#if (replace @root.text.[6] " " "0123456789")}}{{/if}}',
  // items and values
  doubled('a', 18, '{{#with (split this "a") as |x|}}{{json x}}{{join x "b"}}{{/with}}'),
  doubled('<', 20, '{{#if (parseJson (concat "[" (replace this "<" "1.5,") "0]"))}}{{/if}}'),
  doubled('😀', 20, '{{#if (parseJson (concat "[" (replace this "😀" "1.5,") "0]"))}}{{/if}}'),
  doubled(
    '<',
    18,
    '{{#with (parseJson (concat "[" (replace this "<" "{},") "0]"))}}{{json this}}{{/with}}',
  ),
  '{{#each @root.list.[1]}}{{#each @root.few}}{{@key}}{{upper this}}: {{../this}}\n{{/each}}{{/each}}',
  // wide objects, made and written
  `${WITHOUT.repeat(4)}{{yaml this block=true}}${'{{/with}}'.repeat(4)}`,
  '{{yaml (list (omit @root.record.[2] "a") (omit @root.record.[2] "b")) block=true}}',
  '{{#each @root.few}}{{#if (merge @root.record.[2] @root.record.[2])}}{{/if}}{{/each}}',
  `${PARSED.repeat(5)}{{toml this}}${'{{/with}}'.repeat(5)}`,
  '{{#each @root.few}}{{#with (keys @root.record.[2])}}{{/with}}{{#each @root.record.[2]}}{{/each}}{{/each}}',
  // keys of dependencies
  '{{#each @root.few}}{{#if (jwtSvid @root.json.[1] @root.text.[3])}}{{/if}}{{/each}}',
  '{{#each @root.few}}{{#if (secret "a" x=@root.text.[4])}}{{/if}}{{/each}}',
];
