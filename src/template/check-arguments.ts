/**
 * Checks a call against its helper's signature: number of arguments, names of parameters.
 */
import type { Signature } from './helper.ts';
import type { RawBlock, RawMustache, RawSubExpression } from './parser.ts';
import { quoteName } from './values.ts';

/** The problems of a call's arguments, one sentence each. */
export function argumentProblems(
  signature: Signature,
  raw: RawMustache | RawSubExpression | RawBlock,
): readonly string[] {
  const names = (raw.hash?.pairs ?? []).map((pair) => pair.key);
  return [
    ...countProblems(signature, raw, names.length === 0),
    ...literalProblems(signature, raw),
    ...nameProblems(signature, names),
  ];
}

/** How to read a key of the data that has the name of a helper. */
export function thisHint(name: string): string {
  return `; the key of that name is {{this.${name}}}`;
}

function countProblems(
  { name, args: [min, max] }: Signature,
  raw: RawMustache | RawSubExpression | RawBlock,
  isWithoutHash: boolean,
): string[] {
  const count = raw.params.length;
  if (count >= min && count <= max) return [];
  const isBare = raw.type === 'MustacheStatement' && count === 0 && isWithoutHash;
  return [`${name} takes ${range(min, max)}, not ${count}${isBare ? thisHint(name) : ''}`];
}

function literalProblems(
  { name, literal = [] }: Signature,
  { params }: RawMustache | RawSubExpression | RawBlock,
): string[] {
  return literal
    .filter((index) => params[index] !== undefined && params[index].type !== 'StringLiteral')
    .map((index) => `${name}: argument ${index + 1} must be a string literal`);
}

function nameProblems({ name, hash = [] }: Signature, names: readonly string[]): string[] {
  const known =
    hash === 'any' || hash.length === 0
      ? 'it takes no parameters'
      : `its parameters are ${hash.join(', ')}`;
  const seen = new Set<string>();
  const problems: string[] = [];
  for (const key of names) {
    if (seen.has(key)) problems.push(`${name}: ${quoteName(key)} is set twice`);
    else if (hash !== 'any' && !hash.includes(key)) {
      problems.push(`${name} has no parameter ${quoteName(key)}; ${known}`);
    }
    seen.add(key);
  }
  return problems;
}

function range(min: number, max: number): string {
  if (min === max) return min === 1 ? '1 argument' : `${min} arguments`;
  return max === Infinity ? `at least ${min} arguments` : `${min} to ${max} arguments`;
}
