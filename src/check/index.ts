export type { ProbeOptions } from './context.ts';
export { GROUPS, type Finding, type Status } from './finding.ts';
export { runChecks } from './run.ts';
