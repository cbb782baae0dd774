export { clashingPaths, outputPathProblem } from '../core/index.ts';
export {
  createFileWriter,
  type FileWriter,
  type FileWriterOptions,
  type OutputFile,
  type WriteResult,
} from './file-writer.ts';
