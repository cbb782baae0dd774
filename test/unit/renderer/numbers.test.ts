/** Numbers on their way through the processes of the driver: from Vault's response to a file and to a write. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  dependencyKey,
  JsonText,
  VouchsafeError,
  type Dependency,
  type WriteParam,
} from '../../../src/core/index.ts';
import type { RenderOutput } from '../../../src/renderer/client.ts';
import { localRenderer } from '../../helpers/local-renderer.ts';

const NEVER = new AbortController().signal;
const CLIENT = { tenant: 'default' };
const DATA =
  '{"id":1099511627776123456,"amount":1.10,"list":[1e21,{"1.10":-0,"n":12345678901234567890}]}';
const READ: Dependency = { kind: 'read', path: 'kv/app' };

/** A response of Vault with this data, and a member that makes it long. */
async function opened(data: string, padding = 0): Promise<JsonText> {
  const body = Buffer.from(`{"lease_id":"","data":${data},"padding":"${'x'.repeat(padding)}"}`);
  const shape = { mount: 'other', isVersion: false, isList: false, isBare: false } as const;
  const answer = await localRenderer().open(
    { body, shape, path: 'kv/app', nowMs: 0 },
    CLIENT,
    NEVER,
  );
  assert.ok('value' in answer && answer.value instanceof JsonText);
  return answer.value;
}

async function rendered(
  source: string,
  values: ReadonlyMap<string, unknown>,
): Promise<RenderOutput> {
  const jobs = [{ template: { name: 't', source }, context: { dependency: READ } }];
  const known = new Map([...values].map(([key, value]) => [key, { value }]));
  const [output] = await localRenderer().render({ jobs, values: known }, CLIENT, NEVER);
  assert.ok(output !== undefined && 'used' in output);
  return output;
}

function textOf({ binary }: RenderOutput): string {
  return Buffer.from(binary ?? []).toString();
}

suite('numbers keep their digits in the processes of the driver', () => {
  for (const [name, padding] of [
    ['short', 0],
    ['long', 100_000],
  ] as const) {
    test(`in a ${name} response`, async () => {
      const value = await opened(DATA, padding);
      assert.equal(value.text, DATA);
      const output = await rendered(
        '{{id}} {{amount}} {{json this}}',
        new Map([[dependencyKey(READ), value]]),
      );
      assert.equal(textOf(output), `1099511627776123456 1.10 ${DATA}`);
    });
  }

  test('in the parameters of a write, and in what finds its answer', async () => {
    const source = '{{secret "t/echo#n" id=id all=(list amount this)}}';
    const values = new Map<string, unknown>([[dependencyKey(READ), await opened(DATA)]]);
    const { missing } = await rendered(source, values);
    const [write] = missing;
    assert.ok(write?.kind === 'write');
    const params: Readonly<Record<string, WriteParam>> = write.params;
    assert.equal(JSON.stringify(params), `{"id":1099511627776123456,"all":[1.10,${DATA}]}`);
    const answered = new Map([
      ...values,
      [dependencyKey(write), await opened('{"n":2.0}')] as const,
    ]);
    assert.equal(textOf(await rendered(source, answered)), '2.0');
  });

  test('but not many of them in parameters, which the driver parses on its own thread', async () => {
    const many = (count: number): Promise<JsonText> => opened(`{"all":[${'1.0,'.repeat(count)}1]}`);
    const jobs = [
      {
        template: { name: 't', source: '{{secret "t/echo#n" all=all}}' },
        context: { dependency: READ },
      },
    ];
    const render = async (count: number): Promise<unknown> => {
      const values = new Map([[dependencyKey(READ), { value: await many(count) }]]);
      const [output] = await localRenderer().render({ jobs, values }, CLIENT, NEVER);
      return output;
    };
    assert.ok(!((await render(10_000)) instanceof VouchsafeError));
    const error = await render(21_000);
    assert.ok(error instanceof VouchsafeError && error.code === 'ERR_TEMPLATE_LIMIT');
    assert.match(error.message, /20000 values with numbers such as 1\.0/);
  });

  test('in values that are not JSON texts', async () => {
    const value = (await opened(DATA)).parse();
    const output = await rendered('{{json this}}', new Map([[dependencyKey(READ), value]]));
    assert.equal(textOf(output), DATA);
  });
});
