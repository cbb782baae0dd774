import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayRunOn } from '../../../src/admission/node-requirements.ts';
import type { NodeFacts } from '../../../src/contracts/index.ts';
import { podWith } from './harness.ts';

const NODE: NodeFacts = { name: 'n1', version: 'v1.34.0', labels: { zone: 'a', size: '8' } };

function terms(...nodeSelectorTerms: readonly object[]): object {
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  return { affinity: { nodeAffinity: { [required]: { nodeSelectorTerms } } } };
}

function labelled(key: string, operator: string, ...values: readonly string[]): object {
  return { matchExpressions: [{ key, operator, values }] };
}

function named(operator: string, ...values: readonly string[]): object {
  return { matchFields: [{ key: 'metadata.name', operator, values }] };
}

const CASES: Readonly<Record<string, readonly [spec: object, expected: boolean]>> = {
  'nothing required': [{}, true],
  'an empty affinity': [terms(), true],
  'its name': [{ nodeName: 'n1' }, true],
  'another name': [{ nodeName: 'n2' }, false],
  'an empty name': [{ nodeName: '' }, true],
  'a selected label': [{ nodeSelector: { zone: 'a' } }, true],
  'another value': [{ nodeSelector: { zone: 'b' } }, false],
  'a label that it does not have': [{ nodeSelector: { gpu: '' } }, false],
  In: [terms(labelled('zone', 'In', 'b', 'a')), true],
  'In others': [terms(labelled('zone', 'In', 'b')), false],
  'In, without the label': [terms(labelled('gpu', 'In', 'b')), false],
  NotIn: [terms(labelled('zone', 'NotIn', 'a')), false],
  'NotIn others': [terms(labelled('zone', 'NotIn', 'b')), true],
  'NotIn, without the label': [terms(labelled('gpu', 'NotIn', 'b')), true],
  Exists: [terms(labelled('zone', 'Exists')), true],
  'Exists, without the label': [terms(labelled('gpu', 'Exists')), false],
  DoesNotExist: [terms(labelled('zone', 'DoesNotExist')), false],
  'DoesNotExist, without the label': [terms(labelled('gpu', 'DoesNotExist')), true],
  Gt: [terms(labelled('size', 'Gt', '7')), true],
  'Gt the same': [terms(labelled('size', 'Gt', '8')), false],
  'Gt, without the label': [terms(labelled('gpu', 'Gt', '0')), false],
  Lt: [terms(labelled('size', 'Lt', '9')), true],
  'Lt the same': [terms(labelled('size', 'Lt', '8')), false],
  'Lt, without the label': [terms(labelled('gpu', 'Lt', '9')), false],
  'an operator of a later version': [terms(labelled('zone', 'Like', 'b')), true],
  'one of two terms': [terms(labelled('zone', 'In', 'b'), labelled('zone', 'In', 'a')), true],
  'none of two terms': [terms(labelled('zone', 'In', 'b'), labelled('size', 'In', '9')), false],
  'a term and the selector': [
    { nodeSelector: { zone: 'b' }, ...terms(labelled('zone', 'Exists')) },
    false,
  ],
  'a term without requirements': [terms({}), false],
  'the name of the node, as DaemonSets write it': [terms(named('In', 'n1')), true],
  'the name of another node': [terms(named('In', 'n2')), false],
  'not the name of the node': [terms(named('NotIn', 'n1')), false],
  'malformed requirements': [terms({ matchExpressions: [{ key: 1 }], matchFields: 'x' }), true],
};

for (const [name, [spec, expected]] of Object.entries(CASES)) {
  test(`${expected ? 'may run' : 'does not run'} on a node: ${name}`, () => {
    assert.equal(mayRunOn(podWith({}, { ...spec }), NODE), expected);
  });
}
