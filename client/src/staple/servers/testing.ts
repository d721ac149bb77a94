/** A file tree in memory. */
import { StapleError } from '../error.ts';
import { globbed, type SourceFiles } from './source-files.ts';

export function memoryFiles(tree: Readonly<Record<string, string>>): SourceFiles {
  const paths = Object.keys(tree);
  const isDirectory = (path: string) => paths.some((one) => one.startsWith(`${path}/`));
  const list = (directory: string) => {
    const prefix = directory === '/' ? '/' : `${directory}/`;
    const names = paths
      .filter((one) => one.startsWith(prefix))
      .map((one) => one.slice(prefix.length).split('/')[0]!);
    return [...new Set(names)];
  };
  return {
    read(path) {
      const text = tree[path];
      if (text === undefined) throw new StapleError('unreadable-file', `cannot read ${path}`);
      return text;
    },
    glob: (pattern) => globbed(pattern, list, (path) => path in tree || isDirectory(path)),
    isDirectory,
  };
}
