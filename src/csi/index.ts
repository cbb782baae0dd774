export { runDriver, type DriverOptions } from './driver.ts';
export type { PodInfo } from './publish-request.ts';

// For clients, such as a kubelet in tests.
export { CALLS, type CallType } from './proto/csi.ts';
