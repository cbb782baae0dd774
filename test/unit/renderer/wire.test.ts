import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { NumberText, VouchsafeError, type WriteParam } from '../../../src/core/index.ts';
import { MAX_EXACT_PARTS, MAX_HEAD_BYTES, WireError } from '../../../src/renderer/wire-values.ts';
import {
  headOf,
  readChecked,
  readOpened,
  readRendered,
  readValue,
} from '../../../src/renderer/wire.ts';
import type { Frame } from '../../../src/worker-pool/index.ts';

const DIGEST = `${'A'.repeat(43)}=`;
const CONTENT = Buffer.from('text');
const READ = { kind: 'read', path: 'kv/app' };
const FULL = { content: 1, digest: DIGEST, used: [0], missing: [] };
const NO_DATA = { kind: 'no-value', what: 'has no data' };
const ABSENT = { content: 0, digest: '', isAbsent: true, used: [0], missing: [] };
const EMPTY = { content: 0, digest: '', used: [], missing: [0] };

/** An answer to a rendering of one template. */
function rendered(output: unknown, dependencies: unknown = [READ], parts = [CONTENT]): Frame {
  return [headOf({ dependencies, outputs: [output] }), ...parts];
}

function nested(depth: number): WriteParam {
  return depth === 0 ? 1 : [nested(depth - 1)];
}

function failed(error: unknown): Frame {
  return rendered({ error }, [], []);
}

function checked(check: unknown, ...parts: Uint8Array[]): Frame {
  return [headOf({ checks: [check] }), ...parts];
}

function opened(validity: unknown, warnings: unknown = []): Frame {
  return [headOf({ validity, warnings }), Buffer.from('{}')];
}

const raw = (text: string): Uint8Array => Buffer.from(text);
const render = (frame: Frame): unknown => readRendered(frame, 1);
const check = (frame: Frame): unknown => readChecked(frame, 1);
const found = { problems: [], dependencies: [] };

/** Answers that break the protocol. */
const WRONG: Readonly<Record<string, readonly [read: (frame: Frame) => unknown, frame: Frame]>> = {
  'no part at all': [render, []],
  'a first part that is not JSON': [render, [raw('secret')]],
  'a first part that is too long': [render, [raw(`"${'x'.repeat(MAX_HEAD_BYTES)}"`)]],
  'a first part with too many numbers that keep their text': [
    render,
    [raw(`[${'1.0,'.repeat(MAX_EXACT_PARTS)}1]`)],
  ],
  'nested lists': [render, [raw('['.repeat(MAX_HEAD_BYTES))]],
  null: [render, [raw('null')]],
  'a list for an object': [render, [raw('[]')]],
  'no outputs': [render, [headOf({ dependencies: [] })]],
  'an output too many': [render, [headOf({ dependencies: [], outputs: [EMPTY, EMPTY] })]],
  'an output too few': [render, [headOf({ dependencies: [], outputs: [] })]],
  'outputs of another prototype': [render, [raw('{"dependencies":[],"__proto__":{"outputs":[]}}')]],
  'an output that is a text': [render, rendered('text')],
  'a content beyond the frame': [render, rendered(FULL, [READ], [])],
  'a content that is not a part': [render, rendered({ ...FULL, content: 2 })],
  'a negative content': [render, rendered({ ...FULL, content: -1 })],
  'half a content': [render, rendered({ ...FULL, content: 0.5 })],
  'a content as text': [render, rendered({ ...FULL, content: '1' })],
  'a part without an output': [render, rendered(FULL, [READ], [CONTENT, CONTENT])],
  'a part beside no content': [render, rendered(EMPTY)],
  'a content of no file': [render, rendered({ ...FULL, isAbsent: true })],
  'no digest of a content': [render, rendered({ ...FULL, digest: '' })],
  'a digest too long': [render, rendered({ ...FULL, digest: `${DIGEST}=` })],
  'a digest of nothing': [render, rendered({ ...EMPTY, digest: DIGEST }, [READ], [])],
  'an index beyond the dependencies': [render, rendered({ ...FULL, used: [1] })],
  'a negative index': [render, rendered({ ...FULL, used: [-1] })],
  'an index that is a name': [render, rendered({ ...FULL, used: ['length'] })],
  'an index where there are no dependencies': [render, rendered(FULL, [])],
  'a dependency of no kind': [render, rendered(FULL, [{ kind: 'delete', path: 'kv/app' }])],
  'a kind that every object has': [render, rendered(FULL, [{ kind: 'constructor' }])],
  'a path that is a number': [render, rendered(FULL, [{ kind: 'read', path: 1 }])],
  'a parameter that is null': [
    render,
    rendered(FULL, [{ kind: 'write', path: 'a', params: { a: null } }]),
  ],
  'parameters that are a number': [
    render,
    rendered(FULL, [{ kind: 'write', path: 'a', params: new NumberText('1.0') }]),
  ],
  'a parameter that is nested too deep': [
    render,
    rendered(FULL, [{ kind: 'write', path: 'a', params: { a: nested(102) } }]),
  ],
  'an audience that is a number': [render, rendered(FULL, [{ kind: 'jwt-svid', audiences: [1] }])],
  'an error of another part': [
    render,
    failed({ code: 'ERR_VAULT_DENIED', message: '', details: {} }),
  ],
  'an error of no code': [render, failed({ code: 'ERR_TEMPLATE_NONE', message: '', details: {} })],
  'a code that every object has': [
    render,
    failed({ code: 'constructor', message: '', details: {} }),
  ],
  'an error without a message': [render, failed({ code: 'ERR_TEMPLATE_LIMIT', details: {} })],
  'details that are a list': [
    render,
    failed({ code: 'ERR_TEMPLATE_LIMIT', message: '', details: [] }),
  ],
  'a detail that is an object': [
    render,
    failed({ code: 'ERR_TEMPLATE_LIMIT', message: '', details: { a: {} } }),
  ],
  'a check too few': [check, [headOf({ checks: [] })]],
  'a part beside checks': [check, checked(found, CONTENT)],
  'a problem that is a text': [check, checked({ ...found, problems: ['no'] })],
  'a problem without a path': [check, checked({ ...found, problems: [{ message: 'no' }] })],
  'no validity': [readOpened, opened(undefined)],
  'a validity of no kind': [readOpened, opened({ kind: 'for ever' })],
  'a lease without an id': [readOpened, opened({ kind: 'lease', durationMs: 1, renewable: true })],
  'a lease id too long': [
    readOpened,
    opened({ kind: 'lease', leaseId: 'x'.repeat(4097), durationMs: 1, renewable: true }),
  ],
  'a lifetime that is not a number': [readOpened, opened({ kind: 'rotation', ttlMs: null })],
  'an end of a lease that is not a number': [
    readOpened,
    opened({ kind: 'lease', leaseId: 'a', durationMs: 1, renewable: true, endsAtMs: 'soon' }),
  ],
  'an end that is not a number': [readOpened, opened({ kind: 'expires', expiresAtMs: 'soon' })],
  'a warning that is none': [readOpened, opened({ kind: 'static' }, [{}])],
  'a warning too long': [readOpened, opened({ kind: 'static' }, ['x'.repeat(1025)])],
  'an answer without its value': [
    readOpened,
    [headOf({ validity: { kind: 'static' }, warnings: [] })],
  ],
  'a part too many': [readOpened, [...opened({ kind: 'static' }), CONTENT]],
  'a problem, and a value': [readOpened, [headOf({ problem: NO_DATA }), CONTENT]],
  'a problem of another kind': [readOpened, [headOf({ problem: { ...NO_DATA, kind: 'x' } })]],
  'a problem too long': [readOpened, [headOf({ problem: { ...NO_DATA, what: 'x'.repeat(1025) } })]],
  'a short value that is not JSON': [([part]) => readValue(part), [raw('{')]],
  'no value': [([part]) => readValue(part), []],
};

suite('answers of a render process', () => {
  test('a valid answer is accepted', () => {
    const optional = { ...READ, optional: true };
    const head = {
      dependencies: [READ, optional],
      outputs: [EMPTY, FULL, { ...ABSENT, used: [1] }],
    };
    const three = [headOf(head), CONTENT];
    const dependency = { ...READ };
    assert.deepEqual(readRendered(three, 3), [
      { content: 0, digest: '', isAbsent: false, used: [], missing: [dependency] },
      { content: 1, digest: DIGEST, isAbsent: false, used: [dependency], missing: [] },
      { content: 0, digest: '', isAbsent: true, used: [optional], missing: [] },
    ]);
    const params = { a: [{ b: null, c: new NumberText('1.10') }, nested(99)], d: true };
    const write = { kind: 'write', path: 'kv/app', params };
    assert.deepEqual(readRendered(rendered(FULL, [write]), 1), [
      { content: 1, digest: DIGEST, isAbsent: false, used: [write], missing: [] },
    ]);
    const error = { code: 'ERR_TEMPLATE_LIMIT', message: 'no', details: { a: 1, b: ['c'] } };
    const [limit] = readRendered(failed(error), 1);
    assert.ok(limit instanceof VouchsafeError);
    assert.deepEqual([limit.code, limit.message, limit.details], Object.values(error));
    const problem = { path: 'template', message: 'no' };
    assert.deepEqual(readChecked(checked({ problems: [problem], dependencies: [READ] }), 1), [
      { problems: [problem], dependencies: [dependency] },
    ]);
    assert.deepEqual(readOpened([headOf({ problem: NO_DATA })]), { problem: NO_DATA });
    const what = 'has \u001b[2J';
    const escaped = { ...NO_DATA, what: 'has \\u001b[2J' };
    assert.deepEqual(readOpened([headOf({ problem: { ...NO_DATA, what } })]), { problem: escaped });
    const lease = { kind: 'lease', leaseId: 'a', durationMs: 1, renewable: true };
    const expires = { kind: 'expires', expiresAtMs: 2 };
    for (const life of [
      lease,
      { ...lease, endsAtMs: 2 },
      { kind: 'static' },
      { kind: 'rotation', ttlMs: 1 },
      expires,
      { ...expires, notBeforeMs: 1, isStored: true, isChild: true },
    ]) {
      assert.deepEqual(readOpened(opened(life)), { validity: life, warnings: [] });
    }
    assert.deepEqual(readValue(raw('{"a":1}')).parse(), { a: 1 });
  });

  for (const [name, [read, frame]] of Object.entries(WRONG)) {
    test(`${name} is rejected, and not shown`, () => {
      assert.throws(
        () => read(frame),
        (error) => error instanceof WireError && !error.message.includes('secret'),
      );
    });
  }

  test('names of the prototype are ordinary names', () => {
    const params = '{"kind":"write","path":"a","params":{"__proto__":"x","constructor":"y"}}';
    const head = `{"dependencies":[${params}],"outputs":[${JSON.stringify(EMPTY)}]}`;
    const [output] = readRendered([raw(head)], 1);
    assert.ok(output !== undefined && !(output instanceof VouchsafeError));
    const [write] = output.missing;
    assert.ok(write?.kind === 'write');
    assert.deepEqual(Object.entries(write.params), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    assert.equal(Object.getPrototypeOf(write.params), Object.prototype);
  });

  test('property: any answer is accepted or rejected, and no prototype is polluted', () => {
    const names = fc.constantFrom(
      ...['outputs', 'dependencies', 'checks', 'validity', 'warnings', 'problem', 'error'],
      ...['content', 'digest', 'used', 'missing', 'kind', 'path', 'params', 'code', 'details'],
      ...['message', 'problems', 'audiences', '__proto__', 'constructor', 'prototype', 'toString'],
    );
    const leaf = fc.oneof(
      fc.constantFrom(
        ...['read', 'write', 'lease', 'static', 'ERR_TEMPLATE_LIMIT', DIGEST, '', '__proto__'],
        ...[0, 1, -1, 1e300, 0.5, true, null],
      ),
      fc.string(),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'medium', withCrossShrink: true },
        leaf,
        fc.array(tie('tree'), { maxLength: 3 }),
        // In JSON `__proto__` is an ordinary member.
        fc
          .array(fc.tuple(names, tie('tree')), { maxLength: 6 })
          .map((members) => new Members(members)),
      ),
    }));
    const head = fc.oneof(
      tree.map((value) => raw(textOf(value))),
      fc.uint8Array({ maxLength: 64 }),
    );
    const frames = fc.tuple(head, fc.array(fc.uint8Array({ maxLength: 8 }), { maxLength: 3 }));
    const before = Object.getOwnPropertyNames(Object.prototype);
    fc.assert(
      fc.property(frames, fc.nat(3), ([first, parts], count) => {
        const frame = [first, ...parts];
        const readers = [
          () => readRendered(frame, count),
          () => readChecked(frame, count),
          () => readOpened(frame),
          () => readValue(frame[1]),
        ];
        for (const read of readers) {
          try {
            read();
          } catch (error) {
            if (!(error instanceof WireError)) throw error;
          }
        }
        assert.deepEqual(Object.getOwnPropertyNames(Object.prototype), before);
        assert.deepEqual(Object.keys({}), []);
      }),
      { numRuns: 2000 },
    );
  });
});

/** An object of JSON, with any names. */
class Members {
  readonly entries: readonly (readonly [string, unknown])[];

  constructor(entries: readonly (readonly [string, unknown])[]) {
    this.entries = entries;
  }
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`;
  if (!(value instanceof Members)) return JSON.stringify(value);
  const members = value.entries.map(([name, one]) => `${JSON.stringify(name)}:${textOf(one)}`);
  return `{${members.join(',')}}`;
}
