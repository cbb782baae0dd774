/**
 * What Helm makes of the chart: the golden file that pins its defaults, and the plain manifests for people without
 * Helm. `node .tools/chart.ts` writes both; test/cluster/chart.test.ts compares. Helm is VOUCHSAFE_TEST_HELM, or on PATH.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Directory of the chart. */
export const CHART = join(root, 'manifests', 'vouchsafe');

/** Release and namespace of everything that is rendered here. */
const NAME = 'vouchsafe';

/** The program. */
export function helmProgram(): string {
  return process.env['VOUCHSAFE_TEST_HELM'] ?? 'helm';
}

/** The objects of the chart as YAML. Later flags win; the version of Kubernetes is a new one. */
export function template(flags: readonly string[] = []): string {
  const given = ['template', NAME, CHART, '--namespace', NAME, '--kube-version', '1.37.0'];
  return execFileSync(helmProgram(), [...given, ...flags], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Path below the project -> what the file has to hold. */
export function renderedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['test/testdata/chart/golden.yaml', template()],
    ['manifests/vouchsafe.yaml', plain(template(['--skip-tests']))],
  ]);
}

const HEAD = `# Vouchsafe with the defaults of its chart, for kubectl apply --server-side -f.
# Made from manifests/vouchsafe by .tools/chart.ts; do not edit.
apiVersion: v1
kind: Namespace
metadata:
  name: ${NAME}
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;

/** Without the lines that say that Helm takes care. */
function plain(manifests: string): string {
  const isHelms = /^# Source: |^ +(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): /;
  const lines = manifests.split('\n').filter((line) => !isHelms.test(line));
  return HEAD + lines.join('\n');
}

if (import.meta.main) {
  for (const [path, text] of renderedFiles()) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    process.stderr.write(`${path} written\n`);
  }
}
