export type { CheckOptions, ProbeOptions } from './context.ts';
export { GROUPS, type Finding, type Group, type Result, type Status } from './finding.ts';
export { runChecks } from './run.ts';
