export { runDriver, type DriverAddresses, type DriverOptions } from './driver.ts';
export type { MountsPort } from './mounting.ts';
export type { DriverParts, PlanInput, PlanVolume } from './ports.ts';
export type { PodInfo } from './publish-request.ts';

// For clients, such as a kubelet in tests.
export { CALLS, type CallType } from './proto/csi.ts';
