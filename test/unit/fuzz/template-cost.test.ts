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
import { cpuMs } from '../../helpers/cpu-time.ts';
import { COSTLY_DOCUMENT } from '../../helpers/costly-document.ts';
import { COSTLY_TEMPLATES } from '../../helpers/costly-templates.ts';

/** What may end a rendering. */
const ENDS = ['ERR_TEMPLATE_MISSING_KEY', 'ERR_TEMPLATE_VALUE', 'ERR_TEMPLATE_LIMIT'] as const;

test('no template takes more than a second of CPU', () => {
  const limits = fc.constantFrom(RENDER_LIMITS, { ...RENDER_LIMITS, workBytes: DRIVER_WORK_BYTES });
  holds(fc.tuple(COSTLY_TEMPLATES, limits), 100, ([source, bounds]) => {
    if (checkTemplate(source, 't').problems.length > 0) return;
    const template = parseTemplate(source, 't');
    let failure: unknown;
    const ms = cpuMs(() => {
      try {
        renderTemplate(template, { root: COSTLY_DOCUMENT, lookup: () => undefined }, bounds);
      } catch (error) {
        failure = error;
      }
    });
    assert.ok(failure === undefined || hasCode(failure, ...ENDS), String(failure));
    assert.ok(ms < 1000, `${ms} ms: ${source}`);
  });
});

test('no text takes long to be parsed or rejected', () => {
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
    assert.ok(ms < 1000, `${ms} ms: ${source.slice(0, 100)}`); // 100 where nothing else runs
  });
});
