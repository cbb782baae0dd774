export { showVolume, type CsiShowOptions } from './csi-show.ts';
export { ShowConsole } from './console.ts';
export { LEASH } from './leashed.ts';
export { maskFile, showFile } from './mask.ts';
export { renderOnce, type RenderedFiles } from './render-once.ts';
export { showPod, type ShowOptions } from './show.ts';
export type { OpenOptions } from './open.ts';
export type { RealVault } from './vaults.ts';
export type { ConfigMap } from './volumes.ts';
