/**
 * The commands and configurations of the documents: the shell can read them, and each program is run by a test or has
 * the reason why not.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { run } from '../../../.tools/docs/commands.ts';
import { blocksOf, DOCUMENTS, readText, ROOT } from './documents.ts';

/** Program -> where its commands are run. */
const RUN: Readonly<Record<string, string>> = {
  npm: 'here, and test/integration/cli',
  vault: 'test/real/manual.test.ts',
  helm: 'test/cluster/chart.test.ts: the flags exist, the values render; test/cluster/installing.ts installs',
};

/** Program -> why no test runs its commands. */
const NOT_RUN: Readonly<Record<string, string>> = {
  docker: 'there is no Docker where the tests run; test/cluster builds the Dockerfile without it',
  kubectl: 'needs a cluster; test/cluster sends the same requests',
  curl: 'stands behind kubectl port-forward; the answer is compared by test/integration/cli/manual.test.ts',
  oc: 'needs OpenShift',
  'spire-server': 'needs a SPIRE server; test/real/spire.test.ts makes entries where there is one',
  'kube-score': 'its findings are a record of one run',
  cd: 'installs below /opt and into systemd',
  cp: 'likewise',
  systemctl: 'likewise',
};

/** Commands of a block of shell, without the text of here-documents. */
function commandsOf(block: string): readonly string[] {
  return block
    .replaceAll(/<<'(\w+)'\n[^]*?\n\1\n/g, '\n')
    .replaceAll('\\\n', ' ')
    .split(/\n|&&|\||&/)
    .map((command) => command.trim())
    .filter((command) => command !== '');
}

for (const name of DOCUMENTS) {
  const blocks = blocksOf('sh', readText(name));
  if (blocks.length === 0) continue;

  test(`${name}: the shell can read the commands`, () => {
    for (const block of blocks) {
      const { status, stderr } = spawnSync('sh', ['-n'], { input: block, encoding: 'utf8' });
      assert.deepEqual([status, stderr], [0, ''], block);
    }
  });

  test(`${name}: every program is run by a test, or has a reason why not`, () => {
    for (const command of blocks.flatMap(commandsOf)) {
      const [program = ''] = command.split(' ');
      assert.ok(program in RUN || program in NOT_RUN, `${program}: ${command}`);
    }
  });

  test(`${name}: commands of vouchsafe have the flags that they are given`, async () => {
    for (const command of blocks.flatMap(commandsOf)) {
      const [, words] = /^npm run -s vouchsafe -- ([a-z].*)$/.exec(command) ?? [];
      if (words === undefined) continue;
      const [subcommand = '', ...rest] = words.split(' ');
      const help = await run(ROOT, [subcommand, '--help']);
      for (const flag of rest.filter((word) => word.startsWith('-'))) {
        assert.match(help, new RegExp(`(?<![\\w-])${flag}(?![\\w-])`), command);
      }
    }
  });
}

test('configurations of other programs are YAML', () => {
  const blocks = DOCUMENTS.flatMap((name) =>
    [...readText(name).matchAll(/^( *)```text\n([^]*?)^\1```$/gm)].map(([, , text = '']) => text),
  );
  assert.ok(blocks.length >= 4);
  for (const block of blocks) {
    for (const document of parseAllDocuments(block)) {
      assert.deepEqual(document.errors, [], block);
      assert.equal(typeof document.toJS(), 'object', block);
    }
  }
});
