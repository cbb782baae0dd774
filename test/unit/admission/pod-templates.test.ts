import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import {
  misplacedSettings,
  podOfTemplate,
  podTemplatesOf,
  withPod,
} from '../../../src/admission/index.ts';
import { fieldsOf, hasCode, type Fields } from '../../../src/core/index.ts';
import { injectPod, podWith } from './harness.ts';

const FIELDS = ['spec', 'template', 'podTemplate', 'metadata', 'annotations', 'labels', 'items'];
const KINDS = ['Pod', 'Deployment', 'CronJob', 'Rollout', 'Service', 'Thing', 'List'];
const GROUPS = [
  'v1',
  'apps/v1',
  'batch/v1',
  'argoproj.io/v1alpha1',
  'serving.knative.dev/v1',
  'a/b',
];

/** Objects in which fields that matter are frequent, at any place. */
const objects = fc.letrec<{ readonly value: unknown; readonly object: Fields }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6 },
    fc.constantFrom(null, 'text', 1, true),
    fc.constant([{ name: 'web', image: 'web:1' }]),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
  object: fc
    .tuple(
      fc.dictionary(fc.constantFrom(...FIELDS, 'containers', 'vouchsafe.dev/role'), tie('value')),
      fc.option(
        fc.record({ kind: fc.constantFrom(...KINDS), apiVersion: fc.constantFrom(...GROUPS) }),
      ),
    )
    .map(([fields, type]) => ({ ...type, ...fields })),
})).object;

suite('pod templates', () => {
  test('a Rollout with a reference has no pod of its own, also with an empty template', () => {
    const workloadRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
    const rollout = (template: unknown, reference: object): Fields => ({
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: 'web' },
      spec: { template, ...reference },
    });
    for (const template of [
      undefined,
      null,
      {},
      { metadata: { creationTimestamp: null }, spec: { containers: null } },
      { spec: { containers: [] } },
    ]) {
      assert.deepEqual(podTemplatesOf(rollout(template, { workloadRef })), []);
    }
    const own = { spec: { containers: [{ name: 'web' }] } };
    assert.equal(podTemplatesOf(rollout(own, { workloadRef })).length, 1);
    assert.equal(podTemplatesOf(rollout({}, {})).length, 1);
  });

  test('putting each pod back gives the object, and only known kinds are malformed', () => {
    fc.assert(
      fc.property(objects, (object) => {
        let templates: ReturnType<typeof podTemplatesOf>;
        try {
          templates = podTemplatesOf(object);
        } catch (error) {
          assert.ok(hasCode(error, 'ERR_ADMISSION_MALFORMED'));
          return;
        }
        for (const one of templates) {
          const pod = podOfTemplate(one);
          assert.deepEqual([pod['apiVersion'], pod['kind']], ['v1', 'Pod']);
          const { metadata, ...rest } = pod;
          const given = Object.hasOwn(one.template, 'metadata') ? pod : rest;
          if (one.group !== 'serving.knative.dev') {
            assert.deepEqual(withPod(object, one, given), object);
          }
          assert.ok(metadata !== undefined || one.template['metadata'] === undefined);
        }
        for (const text of misplacedSettings(object, { prefix: 'vouchsafe.dev', templates })) {
          assert.match(text, /^vouchsafe\.dev\/role is set at /);
        }
      }),
    );
  });

  test('objects nested more deeply than any definition are not searched', () => {
    let spec: Fields = { template: { spec: { containers: [{ name: 'web' }] } } };
    for (let depth = 0; depth < 10_000; depth += 1) spec = { spec };
    assert.deepEqual(podTemplatesOf({ kind: 'Thing', spec }), []);
    assert.deepEqual(misplacedSettings({ spec }, { prefix: 'vouchsafe.dev', templates: [] }), []);
  });

  test('Knative names: the containers of the object itself do not change', () => {
    const object = {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      spec: { template: { spec: { containers: [{ image: 'a' }] } } },
    };
    const [template] = podTemplatesOf(object);
    assert.ok(template !== undefined);
    const { containers } = fieldsOf(podOfTemplate(template)['spec']);
    assert.deepEqual(containers, [{ name: 'user-container', image: 'a' }]);
    assert.deepEqual(template.template, { spec: { containers: [{ image: 'a' }] } });
  });
});

suite('settings among the labels of a pod', () => {
  const warned = (labels: unknown, annotations: Readonly<Record<string, string>> = {}): unknown => {
    const pod = podWith(annotations);
    return injectPod({ ...pod, metadata: { ...pod.metadata, labels } }).warnings;
  };

  test('cause a warning at admission, of an injected pod, too', () => {
    assert.deepEqual(warned({ 'vouchsafe.dev/role': 'web', app: 'web' }), [
      'vouchsafe.dev/role is among the labels of the pod: set as annotations to take effect',
    ]);
  });

  for (const [name, labels] of [
    ['no labels', undefined],
    ['labels that are not an object', 'vouchsafe.dev/role'],
    ['labels of another prefix', { 'vouchsafe.dev.example/role': 'web' }],
    ['the name of an annotation of the pod', { 'vouchsafe.dev/inject': 'true' }],
  ] as const) {
    test(`no warning: ${name}`, () => assert.deepEqual(warned(labels), []));
  }
});
