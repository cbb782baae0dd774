import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyPatch, type Operation } from 'rfc6902';
import { review, type Review, type ReviewContext } from '../../../src/admission/index.ts';
import { parseInstallation } from '../../../src/config/installation/index.ts';
import { VouchsafeError } from '../../../src/core/index.ts';
import { podWith, prefixed, type Given } from './harness.ts';

const CONTEXT: ReviewContext = {
  installation: parseInstallation({}),
  checkTemplate: () => ({ problems: [], dependencies: [] }),
};

function request(fields: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
    operation: 'CREATE',
    namespace: 'default',
    resource: { group: '', version: 'v1', resource: 'pods' },
    object: podWith(),
    dryRun: false,
    ...fields,
  };
}

function body(fields: Readonly<Record<string, unknown>> = {}): unknown {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: request(fields),
  };
}

function answer(fields: Readonly<Record<string, unknown>> = {}): Review['answer']['response'] {
  return review(body(fields), CONTEXT).answer.response;
}

function patchOf(response: Review['answer']['response']): Operation[] {
  const text = Buffer.from(response.patch ?? '', 'base64').toString();
  return JSON.parse(text) as Operation[]; // what the server sends
}

test('a pod that requests injection is allowed with a patch that applies', () => {
  const { answer: envelope, result } = review(body(), CONTEXT);
  assert.equal(envelope.apiVersion, 'admission.k8s.io/v1');
  assert.equal(envelope.kind, 'AdmissionReview');
  const { response } = envelope;
  assert.equal(response.uid, '705ab4f5-6393-11e8-b7cc-42010a800002');
  assert.equal(response.allowed, true);
  assert.equal(response.patchType, 'JSONPatch');
  const pod = structuredClone(podWith());
  assert.ok(applyPatch(pod, patchOf(response)).every((failure) => failure === null));
  assert.deepEqual(pod, result?.pod);
  assert.deepEqual(response.auditAnnotations, { outcome: 'injected', reason: 'requested' });
});

test('a pod without annotations and volumes gets a patch that applies', () => {
  const object = {
    metadata: { generateName: 'x-' },
    spec: { containers: [{ name: 'web' }] },
  };
  const given: Given = prefixed({ inject: 'true', 'x509-svid': 'true' });
  const pod = { ...object, metadata: { ...object.metadata, annotations: given } };
  const copy = structuredClone(pod);
  assert.ok(applyPatch(copy, patchOf(answer({ object: pod }))).every((one) => one === null));
});

test('a dry run gets the same answer', () => {
  assert.deepEqual(answer({ dryRun: true }), answer());
});

const UNTOUCHED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'an update': { operation: 'UPDATE' },
  'a deletion without object': { operation: 'DELETE', object: null },
  'an ephemeral container': { subResource: 'ephemeralcontainers', operation: 'UPDATE' },
  'a binding': { subResource: 'binding' },
  'another resource': { resource: { group: 'apps', version: 'v1', resource: 'deployments' } },
  'a pod of metrics': { resource: { group: 'metrics.k8s.io', version: 'v1', resource: 'pods' } },
};

for (const [name, fields] of Object.entries(UNTOUCHED)) {
  test(`${name} is allowed unchanged`, () => {
    const response = answer(fields);
    assert.deepEqual(response, { uid: request()['uid'], allowed: true });
  });
}

test('a denial lists every problem, with 400 for invalid settings and 403 for what is not allowed', () => {
  const wrong = answer({ object: podWith({ mode: 'x', containers: 'api' }) });
  assert.equal(wrong.allowed, false);
  assert.equal(wrong.status?.code, 400);
  assert.match(wrong.status.message, /vouchsafe\.dev\/mode: .*\n.*vouchsafe\.dev\/containers: /);
  assert.equal(wrong.patch, undefined);
  const forbidden = answer({ object: podWith({ vault: 'https://mine:8200' }) });
  assert.equal(forbidden.status?.code, 403);
});

test('warnings are short and ASCII, whatever the annotations contain', () => {
  const odd = { [`rôle\u2028${'x'.repeat(400)}`]: 'x', 'sécret-a': 'y' };
  const { warnings = [] } = answer({ object: podWith(odd) });
  assert.equal(warnings.length, 2);
  for (const warning of warnings) assert.match(warning, /^[\x20-\x7e]{1,256}$/);
});

test('the number of warnings is limited', () => {
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`zz${index}`, 'x']));
  const { warnings = [] } = answer({ object: podWith(many) });
  assert.equal(warnings.length, 11);
  assert.match(warnings.at(-1) ?? '', /90 more annotations/);
});

test('the same request gives the same bytes', () => {
  const bytes = (): string => JSON.stringify(review(body(), CONTEXT).answer);
  assert.equal(bytes(), bytes());
});

function nested(depth: number): unknown {
  let value: unknown = {};
  for (let level = 0; level < depth; level += 1) value = { a: value };
  return value;
}

const GOOD = { spec: { containers: [{ name: 'web' }] }, metadata: {} };

const MALFORMED: Readonly<Record<string, unknown>> = {
  nothing: undefined,
  null: null,
  'a list': [],
  'a text': 'AdmissionReview',
  'another kind': { apiVersion: 'admission.k8s.io/v1', kind: 'Pod', request: request() },
  'the old version': {
    apiVersion: 'admission.k8s.io/v1beta1',
    kind: 'AdmissionReview',
    request: request(),
  },
  'no request': { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' },
  'no uid': body({ uid: undefined }),
  'a long uid': body({ uid: 'x'.repeat(300) }),
  'a namespace that is not a string': body({ namespace: 1 }),
  'a namespace that is too long': body({ namespace: 'n'.repeat(254) }),
  'a name that is not a string': body({ object: { ...GOOD, metadata: { name: {} } } }),
  'an owner that cannot be printed': body({
    object: { ...GOOD, metadata: { ownerReferences: [{ kind: { toString: 1 } }] } },
  }),
  'a resource that is not an object': body({ resource: 'pods' }),
  'no object': body({ object: null }),
  'a pod without spec': body({ object: { metadata: {} } }),
  'a pod without metadata': body({ object: { spec: GOOD.spec } }),
  'a pod without containers': body({ object: { ...GOOD, spec: { containers: [] } } }),
  'containers that are not a list': body({ object: { ...GOOD, spec: { containers: {} } } }),
  'a container without name': body({ object: { ...GOOD, spec: { containers: [{}] } } }),
  'a mount without path': body({
    object: { ...GOOD, spec: { containers: [{ name: 'a', volumeMounts: [{ name: 'b' }] }] } },
  }),
  'an annotation that is not a string': body({
    object: { ...GOOD, metadata: { annotations: { a: 1 } } },
  }),
  'far too many annotations': body({
    object: { ...GOOD, metadata: { annotations: { a: 'x'.repeat(300_000) } } },
  }),
  'far too many volumes': body({
    object: { ...GOOD, spec: { ...GOOD.spec, volumes: Array(5000).fill({ name: 'v' }) } },
  }),
  'extremely deep nesting': body({ object: { ...GOOD, deep: nested(100_000) } }),
};

for (const [name, value] of Object.entries(MALFORMED)) {
  test(`malformed: ${name}`, () => {
    assert.throws(
      () => review(value, CONTEXT),
      (error) => error instanceof VouchsafeError && error.code === 'ERR_ADMISSION_MALFORMED',
    );
  });
}

test('names of prototype properties do no harm', () => {
  const object: unknown = JSON.parse(
    '{"metadata":{"annotations":{"__proto__":"x","vouchsafe.dev/inject":"true","vouchsafe.dev/secret-constructor":"kv/a"}},' +
      '"spec":{"containers":[{"name":"constructor","__proto__":{"polluted":true}}]}}',
  );
  const { outcome } = review(body({ object }), CONTEXT).result ?? {};
  assert.equal(outcome, 'injected');
  assert.equal('polluted' in {}, false);
});
