import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairQueue, FairShares, type QueueBounds } from '../../../src/async/index.ts';
import { settle } from '../../helpers/fake-clock.ts';

const ALWAYS = new AbortController().signal;

interface Rule {
  readonly rule: string;
  readonly bounds?: QueueBounds;
  /** Share of each owner, of nine units. */
  readonly share?: number;
  /** `+a1` and `+a1=5`: the first item of `a` comes, with its size; `-a1`: it leaves; `.`: a turn; `/a`: one of `a` is done. */
  readonly steps: string;
  /** `a1`: has its turn; `no`: a turn for nobody; `!a1`: has no place; `~a1`: gives way. */
  readonly outcome: string;
}

const RULES: readonly Rule[] = [
  { rule: 'nobody is next in an empty queue', steps: '.', outcome: 'no' },
  {
    rule: 'owners take turns, each in its own order',
    steps: '+a1 +a2 +a3 +b1 +b2 +c1 . . . . . . .',
    outcome: 'a1 b1 c1 a2 b2 a3 no',
  },
  {
    rule: 'who comes later waits for one item of each other owner at most',
    steps: '+a1 +a2 +a3 +a4 . +b1 . . .',
    outcome: 'a1 a2 b1 a3',
  },
  {
    rule: 'who has had a turn is last, also where nothing of it waited meanwhile',
    steps: '+a1 +b1 +b2 . +a2 . . .',
    outcome: 'a1 b1 a2 b2',
  },
  {
    rule: 'an owner has as many places as one may have; the others notice nothing',
    bounds: { itemsOfOne: 2 },
    steps: '+a1 +a2 +a3 +b1 . +a4 . . .',
    outcome: '!a3 a1 b1 a2 a4',
  },
  {
    rule: 'sizes count: one of any size may wait, and then no other',
    bounds: { sizeOfOne: 10 },
    steps: '+a1=50 +a2=1 +b1=6 +b2=4 +b3=1',
    outcome: '!a2 !b3',
  },
  {
    rule: 'where all together is too much the newest item of the owner with the most gives way',
    bounds: { sizeOfAll: 4 },
    steps: '+a1 +a2 +a3 +b1 +c1 . . . . .',
    outcome: '~a3 a1 b1 c1 a2 no',
  },
  {
    rule: 'the owner with the most has the largest sum, not the most items',
    bounds: { sizeOfAll: 10 },
    steps: '+a1 +a2 +a3 +b1=7 +c1',
    outcome: '~b1',
  },
  {
    rule: 'several give way to a large one, each of the owner with the most by then',
    bounds: { sizeOfAll: 10 },
    steps: '+a1=2 +a2=2 +a3=2 +b1=4 +c1=3 . . .',
    outcome: '~a3 ~a2 a1 b1 c1',
  },
  {
    rule: 'nobody gives way to one who would then have as much',
    bounds: { sizeOfAll: 3 },
    steps: '+a1 +b1 +c1 +d1 . +a2 +b2',
    outcome: '!d1 a1 !b2',
  },
  {
    rule: 'no owner makes room for itself',
    bounds: { sizeOfAll: 3 },
    steps: '+a1 +a2 +a3 +a4',
    outcome: '!a4',
  },
  {
    rule: 'nobody gives way in vain',
    bounds: { sizeOfAll: 24 },
    steps: '+a1=5 +a2=3 +b1=4 +c1=4 +d1=4 +e1=4 +f1=5 . . . . . .',
    outcome: '!f1 a1 b1 c1 d1 e1 a2',
  },
  {
    rule: 'what is larger than all may be has no place, also alone',
    bounds: { sizeOfAll: 24 },
    steps: '+a1=25 +a2=24 .',
    outcome: '!a1 a2',
  },
  {
    rule: 'who leaves gives its place and no turn back',
    bounds: { itemsOfOne: 2, sizeOfAll: 3 },
    steps: '+a1 +a2 +b1 -a1 +a3 . . . . -a3',
    outcome: 'a2 b1 a3 no',
  },
  {
    rule: 'who holds its share waits until one of its own is done; the others do not wait for it',
    share: 1,
    steps: '+a1 +a2 +b1 . . . /b . /a .',
    outcome: 'a1 b1 no no a2',
  },
  {
    rule: 'the owner with the fewest is next, in any order of arrival',
    share: 3,
    steps: '+a1 +a2 +a3 . +b1 +c1 . . . /a . +b2 +a4 . .',
    outcome: 'a1 b1 c1 a2 a3 b2 a4',
  },
  {
    rule: 'without shares what is under way does not count',
    steps: '+a1 +a2 +a3 . +b1 . . /a .',
    outcome: 'a1 a2 b1 a3',
  },
  {
    rule: 'names of owners are names and nothing else',
    bounds: { itemsOfOne: 1 },
    share: 1,
    steps: '+__proto__1 +constructor1 +__proto__2 . . /__proto__ .',
    outcome: '!__proto__2 __proto__1 constructor1 no',
  },
];

function ownerOf(item: string): string {
  return item.replace(/\d+$/, '');
}

/** Does what the steps say; what became of it. */
function played({ bounds = {}, share, steps }: Rule): string {
  const outcome: string[] = [];
  const queue = new FairQueue<string>({
    bounds,
    onEvicted: (item) => outcome.push(`~${item}`),
    shares: share === undefined ? undefined : new FairShares(9, share),
  });
  for (const step of steps.split(' ')) {
    const [item = '', size] = step.slice(1).split('=');
    if (step === '.') outcome.push(queue.shift() ?? 'no');
    else if (step.startsWith('/')) queue.done(item);
    else if (step.startsWith('-')) queue.remove(ownerOf(item), item);
    else if (!queue.add(ownerOf(item), item, size === undefined ? 1 : Number(size)))
      outcome.push(`!${item}`);
  }
  return outcome.join(' ');
}

for (const rule of RULES) {
  test(rule.rule, () => assert.equal(played(rule), rule.outcome));
}

test('callers wait for an item and get one in their order', async () => {
  const queue = new FairQueue<string>();
  const [first, second] = [queue.take(ALWAYS), queue.take(ALWAYS)];
  assert.ok(queue.add('a', 'a1'));
  assert.ok(queue.add('a', 'a2'));
  assert.equal(queue.size, 0);
  assert.deepEqual(await Promise.all([first, second]), ['a1', 'a2']);
});

test('a waiting caller gets an item as soon as its owner may have a turn again', async () => {
  const queue = new FairQueue<string>({ shares: new FairShares(9, 1) });
  for (const item of ['a1', 'a2']) queue.add('a', item);
  assert.equal(await queue.take(ALWAYS), 'a1');
  const given: (string | undefined)[] = [];
  void queue.take(ALWAYS).then((one) => given.push(one));
  await settle();
  assert.deepEqual(given, []);
  queue.done('a');
  await settle();
  assert.deepEqual(given, ['a2']);
});

test('a caller that ends its wait gets nothing, and keeps nothing from the next', async () => {
  const queue = new FairQueue<string>();
  const stop = new AbortController();
  const given: (string | undefined)[] = [];
  for (const signal of [stop.signal, ALWAYS])
    void queue.take(signal).then((one) => given.push(one));
  stop.abort();
  queue.add('a', 'a1');
  await settle();
  assert.deepEqual(given, [undefined, 'a1']);
  queue.add('a', 'a2');
  assert.equal(await queue.take(stop.signal), undefined);
  assert.equal(queue.size, 1);
});

test('what was handed out in the moment of the abort is not lost', async () => {
  const queue = new FairQueue<string>();
  const stop = new AbortController();
  const taken = queue.take(stop.signal);
  queue.add('a', 'a1');
  stop.abort();
  assert.equal(await taken, 'a1');
});

test('an item is there until its turn has come, and once', () => {
  const queue = new FairQueue<string>();
  assert.equal(queue.remove('a', 'a1'), false);
  queue.add('a', 'a1');
  assert.equal(queue.remove('b', 'a1'), false);
  assert.equal(queue.remove('a', 'a1'), true);
  assert.equal(queue.remove('a', 'a1'), false);
  assert.equal(queue.shift(), undefined);
});

test('property: bounds hold, nothing is lost or had twice, and no owner waits for more than one turn of each other', () => {
  const step = fc.record({
    owner: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    what: fc.constantFrom('add', 'add', 'add', 'shift', 'remove'),
    size: fc.integer({ min: 1, max: 6 }),
  });
  const bound = fc.integer({ min: 1, max: 12 });
  const bounds = fc.record({ itemsOfOne: bound, sizeOfOne: bound, sizeOfAll: bound });
  fc.assert(
    fc.property(bounds, fc.array(step, { maxLength: 60 }), (limits, steps) => {
      interface Item {
        readonly owner: string;
        readonly size: number;
      }
      const waiting = new Set<Item>();
      const leave = (item: Item): void => assert.ok(waiting.delete(item));
      const queue = new FairQueue<Item>({ bounds: limits, onEvicted: leave });
      const sumOf = (items: readonly Item[]): number =>
        items.reduce((sum, { size }) => sum + size, 0);
      const check = (): void => {
        assert.equal(queue.size, sumOf([...waiting]));
        assert.ok(queue.size <= limits.sizeOfAll);
        for (const items of Map.groupBy(waiting, ({ owner }) => owner).values()) {
          assert.ok(items.length <= limits.itemsOfOne);
          assert.ok(items.length === 1 || sumOf(items) <= limits.sizeOfOne);
        }
      };
      for (const { owner, what, size } of steps) {
        const item = { owner, size };
        const [known] = [...waiting].filter((one) => one.owner === owner);
        if (what === 'add') {
          waiting.add(item);
          if (!queue.add(owner, item, size)) leave(item);
        } else if (what === 'remove' && known !== undefined) {
          leave(known);
          assert.ok(queue.remove(owner, known));
        } else if (what === 'shift') {
          const next = queue.shift();
          assert.equal(next === undefined, waiting.size === 0);
          if (next !== undefined) leave(next);
        }
        check();
      }
      while (waiting.size > 0) {
        const owners = new Set([...waiting].map(({ owner }) => owner));
        const round = Array.from(owners, () => queue.shift());
        assert.deepEqual(new Set(round.map((item) => item?.owner)), owners);
        for (const item of round) if (item !== undefined) leave(item);
      }
      assert.equal(queue.shift(), undefined);
    }),
  );
});
