/**
 * Templates and documents drawn for cost: whatever a helper is called with, and however often, one rendering ends
 * within a second of CPU. Helpers come from the table, so that a later one is attacked as well.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../../src/core/index.ts';
import {
  checkTemplate,
  DRIVER_WORK_BYTES,
  parseTemplate,
  RENDER_LIMITS,
  renderTemplate,
} from '../../../src/template/index.ts';
import { holds } from '../../helpers/arbitraries.ts';
import {
  COSTLY_CALLS,
  COSTLY_DOCUMENT,
  reference,
  VALUES_OF_A_KIND,
} from '../../helpers/costly-templates.ts';

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
const templates = fc
  .tuple(bodies, fc.nat(2))
  .map(
    ([body, loops]) => `${'{{#each @root.few}}'.repeat(loops)}${body}${'{{/each}}'.repeat(loops)}`,
  );

function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

test('no template takes more than a second of CPU', () => {
  const limits = fc.constantFrom(RENDER_LIMITS, { ...RENDER_LIMITS, workBytes: DRIVER_WORK_BYTES });
  holds(fc.tuple(templates, limits), 100, ([source, bounds]) => {
    if (checkTemplate(source, 't').problems.length > 0) return;
    const template = parseTemplate(source, 't');
    const ms = cpuMs(() => {
      try {
        renderTemplate(template, { root: COSTLY_DOCUMENT, lookup: () => undefined }, bounds);
      } catch (error) {
        assert.ok(
          hasCode(error, 'ERR_TEMPLATE_MISSING_KEY', 'ERR_TEMPLATE_VALUE', 'ERR_TEMPLATE_LIMIT'),
        );
      }
    });
    assert.ok(ms < 1000, `${ms} ms: ${source}`);
  });
});

test('no text takes long to be parsed or refused', () => {
  const piece = fc.constantFrom(
    '{{a}}',
    '{{#if a}}\n{{/if}}\n',
    '{{!-- x --}}',
    '{{! x }}',
    '\n',
    ' ',
    'x',
    '{{json (concat a b)}}',
    '{{jsn x}}',
    '{{a.b.c}}',
    '{{../',
    '(',
    '\\{{',
    '"',
    '{{else}}',
    '{{#a}}',
    '{{{{raw}}}}',
  );
  const sources = fc
    .array(fc.tuple(piece, fc.constantFrom(1, 100, 3_000, 100_000)), { minLength: 1, maxLength: 4 })
    .map((parts) =>
      parts
        .map(([one, times]) => one.repeat(times))
        .join('')
        .slice(0, 262_144),
    );
  holds(sources, 60, (source) => {
    const ms = cpuMs(() => void checkTemplate(source, 't'));
    assert.ok(ms < 500, `${ms} ms: ${source.slice(0, 100)}`); // 100 where nothing else runs
  });
});
