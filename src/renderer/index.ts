export { Renderer, type Client, type RenderJob, type RenderOutput } from './client.ts';
export { createRenderCounts } from './metrics.ts';
export { RendererService } from './serve.ts';
export { headOf, type SentTemplate, type Setup } from './wire.ts';
