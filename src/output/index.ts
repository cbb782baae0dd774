export { clashingPaths, outputPathProblem } from '../core/index.ts';
export {
  createFileWriter,
  type FileWriter,
  type FileWriterOptions,
  type WriteResult,
} from './file-writer.ts';
